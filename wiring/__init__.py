"""Build services and the mail worker from settings and connections; nothing else builds them.

Imports backend and every floor below it. ``application``, ``commands`` and ``api.deps`` (for types) import it.
"""
