"""What /docs and /openapi.json show: responses, introduction, page. Imports models and api.problems."""
