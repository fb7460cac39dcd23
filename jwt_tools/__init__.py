"""Access tokens (RFC 9068): the service signs them, any service verifies them. Imports nothing else of this project."""
