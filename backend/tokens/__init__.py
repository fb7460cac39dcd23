"""Access tokens, refresh tokens, signing keys and the published metadata (RFC 8414). Imports no other wing."""
