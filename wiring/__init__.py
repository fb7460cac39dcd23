"""Build services and the mail worker from settings and connections; no other package builds them.

Imports backend and everything below it. ``application``, ``commands`` and, for types, ``api.deps`` import it.
"""
