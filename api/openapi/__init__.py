"""What /docs and /openapi.json show: responses, examples, the page itself. Imports models and api.problems."""
