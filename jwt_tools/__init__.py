"""Access tokens (RFC 9068): made by the service, checked by anybody. Imports nothing of the rest of the project."""
