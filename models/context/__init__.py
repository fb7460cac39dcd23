"""Who acts, from where, and what is recorded about it. Imports responses."""
