"""The HTTP routes, grouped by who calls them; routes get services from ``api.deps`` and know nothing below it.

``ROUTERS`` lists every router in the order of the documentation.
"""

from __future__ import annotations

from api import sessions
from api.admin import audit, mail, permissions, roles, user_roles, user_sessions, users
from api.flows import login, recover, register
from api.me import account, delete, email, export
from api.me import sessions as own_sessions
from api.oauth import introspection, well_known
from api.operations import health, metrics

ROUTERS = (
    *(register.router, login.router, recover.router, sessions.router),
    *(account.router, email.router, own_sessions.router, export.router, delete.router),
    *(users.router, user_sessions.router, user_roles.router, roles.router, permissions.router),
    *(mail.router, audit.router),
    *(well_known.router, introspection.router, health.router, metrics.router),
)
