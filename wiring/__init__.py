"""The one place that builds services from settings and connections.

Both doors stand on it: ``application`` and ``commands``.
"""
