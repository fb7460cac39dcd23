"""Health, metrics, and the warnings of a start, for the operator. Imports tokens."""
