"""Valkey: the connection, and flows under way."""
