"""What the outside may ask."""

from __future__ import annotations

from api import (
    account,
    health,
    login,
    metrics,
    oauth,
    own_deletion,
    own_email,
    own_sessions,
    recover,
    register,
    token,
    well_known,
)

ROOMS = (
    *(register, login, recover, token),
    *(account, own_email, own_sessions, own_deletion),
    *(well_known, oauth, health, metrics),
)
"""Every module with a router, in the order of the documentation."""
