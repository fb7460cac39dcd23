"""The rules: what the service does. No SQL, no Redis commands, no FastAPI."""
