"""What every request passes before and after its route. Imports models and api.problems."""
