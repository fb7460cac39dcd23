"""Health, metrics, and what a start checks and warns of. Imports no other wing."""
