"""The flow engine and one short service a flow.

Imports accounts, mail, passwords, protection, sessions and tokens.
"""
