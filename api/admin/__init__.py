"""What administrators do with accounts, roles and mail. Imports models, api.deps and api.openapi."""
