"""Health and metrics, for the operator. Imports models, api.deps and api.openapi."""
