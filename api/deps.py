"""The wiring closet: settings and connections in, services out; routers never see how a service is built."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, TypedDict

from fastapi import Depends, Header, Request

from backend.access.assignments import RoleAssignments
from backend.access.roles import RoleService
from backend.accounts.export import ExportService
from backend.accounts.reauthentication import Reauthentication
from backend.accounts.service import AccountService
from backend.admin.audit_log import AuditLogService
from backend.admin.mail import AdminMailService
from backend.admin.users import AdminUserService
from backend.audit import AuditBuffer
from backend.counters import Counters
from backend.flows.change_email import EmailChangeService
from backend.flows.delete_account import DeletionService
from backend.flows.engine import FlowEngine, FlowRules, PostRoom
from backend.flows.login import LoginService
from backend.flows.recover import RecoverService
from backend.flows.register import RegisterService
from backend.keys import Keys
from backend.mail.backlog import BacklogGauge
from backend.mail.enqueue import MailQueue
from backend.mail.sealed_recipient import RecipientEncryptor
from backend.operations.health import HealthService
from backend.operations.metrics import MetricsService
from backend.operations.proxy_check import SingleClientWarning
from backend.passwords.hash_pool import HashPool
from backend.passwords.hasher import PasswordHasher
from backend.protection.code_attempts import CodeAttempts
from backend.protection.known_devices import KnownDevices
from backend.protection.mail_limits import MailLimits
from backend.protection.rate_limits import RateLimits
from backend.sessions.authentication import AuthenticatedUser, Authenticator
from backend.sessions.introspection import IntrospectionService, ServiceClients
from backend.sessions.service import SessionService
from backend.sessions.user_cache import UserCache
from backend.tokens.access_tokens import TokenService
from backend.tokens.refresh_tokens import RefreshTokens
from backend.tokens.server_metadata import ServerMetadataService
from backend.tokens.signing_keys import SigningKeys
from config import Settings
from database.engine import Database
from database.sessions import SessionLife
from jwt_tools.decode import TokenVerifier
from jwt_tools.decorators import guard
from models.values.flow import CODE_MAIL
from models.values.locale import Locale, preferred_locale
from redis_tools.flow_store import FlowStore
from redis_tools.health import Pulse
from redis_tools.pipeline import Valkey
from redis_tools.thermostat import thermostats


@dataclass(frozen=True, slots=True)
class Services:
    """Everything a router may ask for."""

    register: RegisterService
    login: LoginService
    recover: RecoverService
    sessions: SessionService
    account: AccountService
    email_changes: EmailChangeService
    exports: ExportService
    deletions: DeletionService
    introspection: IntrospectionService
    admin_users: AdminUserService
    admin_mail: AdminMailService
    audit_log: AuditLogService
    roles: RoleService
    role_assignments: RoleAssignments
    service_clients: ServiceClients
    server_metadata: ServerMetadataService
    authenticator: Authenticator
    health: HealthService
    metrics: MetricsService
    backlog: BacklogGauge
    audit_buffer: AuditBuffer
    counters: Counters
    single_client_warning: SingleClientWarning


class State(TypedDict):
    """What the lifespan puts into ``request.state``."""

    services: Services


@dataclass(frozen=True, slots=True)
class Resources:
    """What the lifespan has opened."""

    database: Database
    valkey: Valkey
    keys: Keys
    ring: SigningKeys
    pool: HashPool
    bell: MailQueue
    counters: Counters


def build_state(settings: Settings, resources: Resources) -> State:
    """Build every service once; they hold connections and no request's data."""
    database, valkey, keys, ring = resources.database, resources.valkey, resources.keys, resources.ring
    rules, limit = settings.code, settings.limit
    backlog = BacklogGauge(
        database, CODE_MAIL, most=settings.mail.backlog, oldest=timedelta(seconds=settings.mail.backlog_age)
    )
    its_thermostats = thermostats(settings.thermostat, settings.rungs(device=False))
    audit_buffer = AuditBuffer(database)
    limits = RateLimits(valkey, limit, its_thermostats, audit_buffer)
    devices = KnownDevices(keys, settings.device.ttl)
    flows = FlowEngine(
        valkey,
        FlowStore(valkey),
        database,
        keys,
        limits,
        CodeAttempts(valkey, limits, its_thermostats, audit_buffer),
        PostRoom(backlog, resources.bell, MailLimits(limit.mails, limit.device_mails)),
        FlowRules(ttl=settings.flow.ttl, resend_after=rules.resend_after, resends=rules.resends),
        audit_buffer,
    )
    hasher = PasswordHasher(resources.pool, settings.hash.iterations)
    tokens = TokenService(ring, settings.issuer, settings.audience, settings.client_id, settings.token.ttl)
    user_cache = UserCache(database, valkey)
    sessions = SessionService(
        database, limits, user_cache, RefreshTokens(keys), tokens, _session_life(settings), settings.session.maximum
    )
    reauthentication, envelopes = Reauthentication(database, limits, hasher, audit_buffer), RecipientEncryptor(keys)
    authenticator = Authenticator(
        TokenVerifier(ring, settings.issuer, settings.audience, settings.token.leeway), user_cache
    )
    services = Services(
        register=RegisterService(flows, limits, devices, hasher, settings.service_name),
        login=LoginService(database, flows, limits, devices, keys, hasher, sessions, tokens),
        recover=RecoverService(database, flows, limits, devices, hasher, user_cache, settings.service_name),
        sessions=sessions,
        account=AccountService(database, user_cache, limits, hasher, reauthentication, settings.service_name),
        email_changes=EmailChangeService(flows, limits, devices, user_cache, reauthentication, envelopes),
        exports=ExportService(database, limits, keys, settings.flow.ttl),
        deletions=DeletionService(database, flows, limits, devices, keys, user_cache, envelopes),
        introspection=IntrospectionService(authenticator, sessions),
        admin_users=AdminUserService(database, keys, user_cache),
        admin_mail=AdminMailService(database),
        audit_log=AuditLogService(database),
        roles=RoleService(database, user_cache),
        role_assignments=RoleAssignments(database, user_cache),
        service_clients=ServiceClients(settings.service_clients),
        server_metadata=ServerMetadataService(ring, settings.issuer, settings.key.max_age, has_docs=settings.docs),
        authenticator=authenticator,
        health=HealthService(database, Pulse(valkey), ring),
        metrics=MetricsService(database, valkey, its_thermostats),
        backlog=backlog,
        audit_buffer=audit_buffer,
        counters=resources.counters,
        single_client_warning=SingleClientWarning(),
    )
    return State(services=services)


def _session_life(settings: Settings) -> SessionLife:
    session = settings.session
    times = (
        timedelta(seconds=seconds) for seconds in (session.idle, session.absolute, settings.refresh.reuse_interval)
    )
    return SessionLife(*times)


def _services(request: Request) -> Services:
    services: Services = request.state.services
    return services


# Asynchronous although nothing waits: FastAPI sends a plain function to a thread, at the price of the whole request.
# Each asks for the request itself: a dependency of a dependency costs as much as one of a route.
async def _register(request: Request) -> RegisterService:
    return _services(request).register


async def _login(request: Request) -> LoginService:
    return _services(request).login


async def _recover(request: Request) -> RecoverService:
    return _services(request).recover


async def _sessions(request: Request) -> SessionService:
    return _services(request).sessions


async def _account(request: Request) -> AccountService:
    return _services(request).account


async def _email_changes(request: Request) -> EmailChangeService:
    return _services(request).email_changes


async def _exports(request: Request) -> ExportService:
    return _services(request).exports


async def _deletions(request: Request) -> DeletionService:
    return _services(request).deletions


async def _introspection(request: Request) -> IntrospectionService:
    return _services(request).introspection


async def _admin_users(request: Request) -> AdminUserService:
    return _services(request).admin_users


async def _admin_mail(request: Request) -> AdminMailService:
    return _services(request).admin_mail


async def _audit_log(request: Request) -> AuditLogService:
    return _services(request).audit_log


async def _roles(request: Request) -> RoleService:
    return _services(request).roles


async def _role_assignments(request: Request) -> RoleAssignments:
    return _services(request).role_assignments


async def _server_metadata(request: Request) -> ServerMetadataService:
    return _services(request).server_metadata


async def _health(request: Request) -> HealthService:
    return _services(request).health


async def _metrics(request: Request) -> MetricsService:
    return _services(request).metrics


async def _service_clients(request: Request) -> ServiceClients:
    return _services(request).service_clients


async def _authenticator(request: Request) -> Authenticator:
    return _services(request).authenticator


_LANGUAGES = "Language of mails, when the body names none."


async def _wished_locale(
    accept_language: Annotated[str, Header(alias="Accept-Language", description=_LANGUAGES)] = "",
) -> Locale:
    return preferred_locale(accept_language)


Register = Annotated[RegisterService, Depends(_register)]
Login = Annotated[LoginService, Depends(_login)]
Recover = Annotated[RecoverService, Depends(_recover)]
Sessions = Annotated[SessionService, Depends(_sessions)]
Account = Annotated[AccountService, Depends(_account)]
EmailChanges = Annotated[EmailChangeService, Depends(_email_changes)]
Exports = Annotated[ExportService, Depends(_exports)]
Deletions = Annotated[DeletionService, Depends(_deletions)]
Introspections = Annotated[IntrospectionService, Depends(_introspection)]
AdminUsers = Annotated[AdminUserService, Depends(_admin_users)]
AdminMail = Annotated[AdminMailService, Depends(_admin_mail)]
AuditLog = Annotated[AuditLogService, Depends(_audit_log)]
Roles = Annotated[RoleService, Depends(_roles)]
Assignments = Annotated[RoleAssignments, Depends(_role_assignments)]
PublishedMetadata = Annotated[ServerMetadataService, Depends(_server_metadata)]
Clients = Annotated[ServiceClients, Depends(_service_clients)]
CurrentPrincipal = Annotated[AuthenticatedUser, Depends(guard)]
Authentication = Annotated[Authenticator, Depends(_authenticator)]
Pulses = Annotated[HealthService, Depends(_health)]
Metrics = Annotated[MetricsService, Depends(_metrics)]
WishedLocale = Annotated[Locale, Depends(_wished_locale)]
