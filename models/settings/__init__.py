"""Groups of settings, and how a setting is written. Imports values."""
