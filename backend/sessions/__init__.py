"""Sessions, refresh tokens, and who a bearer token belongs to. Imports tokens and protection."""
