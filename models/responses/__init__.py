"""Response bodies. Imports values."""
