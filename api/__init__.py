"""What the outside may ask."""

from __future__ import annotations

from api import account, health, login, metrics, oauth, own_sessions, recover, register, token, well_known

ROOMS = (register, login, recover, token, account, own_sessions, well_known, oauth, health, metrics)
"""Every module with a router, in the order of the documentation."""
