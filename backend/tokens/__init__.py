"""Access tokens, signing keys, introspection, server metadata (RFC 8414). Imports sessions."""
