"""What routes depend on: services, the signed-in user, and the language that the client asks for."""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

from fastapi import Depends, Header, Request

from backend.access.assignments import RoleAssignments
from backend.access.roles import RoleService
from backend.accounts.export import ExportService
from backend.accounts.service import AccountService
from backend.admin.audit_log import AuditLogService
from backend.admin.mail import AdminMailService
from backend.admin.users import AdminUserService
from backend.flows.change_email import EmailChangeService
from backend.flows.delete_account import DeletionService
from backend.flows.engine import FlowEngine
from backend.flows.login import LoginService
from backend.flows.recover import RecoverService
from backend.flows.register import RegisterService
from backend.operations.health import HealthService
from backend.operations.metrics import MetricsService
from backend.sessions.authentication import AuthenticatedUser, Authenticator
from backend.sessions.introspection import IntrospectionService, ServiceClients
from backend.sessions.service import SessionService
from backend.tokens.server_metadata import ServerMetadataService
from jwt_tools.decorators import guard
from models.values.locale import Locale, preferred_locale
from wiring.services import Services


class State(TypedDict):
    """What the lifespan of the application puts into ``request.state``."""

    services: Services


def _service(kind: type) -> Any:
    """Return the dependency of a route on the service of a type."""

    # Asynchronous although nothing waits: FastAPI sends a plain function to a thread, at the price of a whole request.
    async def provide(request: Request) -> Any:
        services: Services = request.state.services
        return services.get(kind)

    return Depends(provide)


_LANGUAGES = "Language of mails when the body has no `locale`."


async def _wished_locale(
    accept_language: Annotated[str, Header(alias="Accept-Language", description=_LANGUAGES)] = "",
) -> Locale:
    return preferred_locale(accept_language)


Flows = Annotated[FlowEngine, _service(FlowEngine)]
Registrations = Annotated[RegisterService, _service(RegisterService)]
Logins = Annotated[LoginService, _service(LoginService)]
Recoveries = Annotated[RecoverService, _service(RecoverService)]
Sessions = Annotated[SessionService, _service(SessionService)]
Account = Annotated[AccountService, _service(AccountService)]
EmailChanges = Annotated[EmailChangeService, _service(EmailChangeService)]
Exports = Annotated[ExportService, _service(ExportService)]
Deletions = Annotated[DeletionService, _service(DeletionService)]
Introspections = Annotated[IntrospectionService, _service(IntrospectionService)]
AdminUsers = Annotated[AdminUserService, _service(AdminUserService)]
AdminMail = Annotated[AdminMailService, _service(AdminMailService)]
AuditLog = Annotated[AuditLogService, _service(AuditLogService)]
Roles = Annotated[RoleService, _service(RoleService)]
Assignments = Annotated[RoleAssignments, _service(RoleAssignments)]
PublishedMetadata = Annotated[ServerMetadataService, _service(ServerMetadataService)]
Clients = Annotated[ServiceClients, _service(ServiceClients)]
Authentication = Annotated[Authenticator, _service(Authenticator)]
HealthChecks = Annotated[HealthService, _service(HealthService)]
Metrics = Annotated[MetricsService, _service(MetricsService)]
CurrentPrincipal = Annotated[AuthenticatedUser, Depends(guard)]
WishedLocale = Annotated[Locale, Depends(_wished_locale)]
