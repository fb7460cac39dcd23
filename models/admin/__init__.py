"""Requests and responses of /admin, and the lines of a user import."""
