"""What administrators do, and the import of users.

Imports access, accounts, passwords, sessions and mail.
"""
