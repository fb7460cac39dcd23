"""What signed-in users do with their own account. Imports models, api.deps and api.openapi."""
