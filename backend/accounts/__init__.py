"""What users change in their own account, and how an account is exported and removed.

Imports access, passwords, sessions, protection and mail.
"""
