"""Request bodies. Imports responses and values."""
