"""What the outside may ask."""

from __future__ import annotations

from api import account, health, jwks, login, metrics, recover, register

ROOMS = (register, login, recover, account, jwks, health, metrics)
"""Every module with a router, in the order of the documentation."""
