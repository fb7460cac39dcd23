"""Hashing in a bounded pool, the password policy, imported hashes. Imports no other wing."""
