"""Health and metrics, for the operator. Imports models and api.deps."""
