"""Data types without behaviour of their own: requests, responses, errors, settings, values."""
