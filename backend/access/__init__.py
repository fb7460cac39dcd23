"""Roles, who holds them, and who may act on whom. Imports sessions."""
