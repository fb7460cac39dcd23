"""What services that verify our tokens call, in the formats of OAuth. Imports models, api.deps and api.openapi."""
