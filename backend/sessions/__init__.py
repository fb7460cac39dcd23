"""Sessions from log-in to log-out, the user behind an access token, and introspection.

Imports tokens, protection and mail.
"""
