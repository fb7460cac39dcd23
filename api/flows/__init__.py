"""The public flows: one POST a step. Imports models, api.deps and api.openapi."""
