"""What users change in their own account, and what leaves with them.

Imports passwords, sessions, protection and mail.
"""
