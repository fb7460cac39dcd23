"""What the outside may ask."""

from __future__ import annotations

from api import (
    account,
    admin_audit,
    admin_mail,
    admin_permissions,
    admin_roles,
    admin_user_roles,
    admin_user_sessions,
    admin_users,
    health,
    login,
    metrics,
    oauth,
    own_deletion,
    own_email,
    own_export,
    own_sessions,
    recover,
    register,
    token,
    well_known,
)

ROOMS = (
    *(register, login, recover, token),
    *(account, own_email, own_sessions, own_export, own_deletion),
    *(admin_users, admin_user_sessions, admin_user_roles, admin_roles, admin_permissions, admin_mail, admin_audit),
    *(well_known, oauth, health, metrics),
)
"""Every module with a router, in the order of the documentation."""
