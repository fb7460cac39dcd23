"""What services that verify our tokens call, by the standards' shapes. Imports models and api.deps."""
