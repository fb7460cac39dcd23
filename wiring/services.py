"""Every service that a route calls, built once in a process; services hold connections and no request's data."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

from backend.access.assignments import RoleAssignments
from backend.access.roles import RoleService
from backend.accounts.export import ExportService
from backend.accounts.reauthentication import Reauthentication
from backend.accounts.service import AccountService
from backend.admin.audit_log import AuditLogService
from backend.admin.mail import AdminMailService
from backend.admin.users import AdminUserService
from backend.audit import AuditBuffer
from backend.flows.change_email import EmailChangeService
from backend.flows.delete_account import DeletionService
from backend.flows.engine import FlowEngine
from backend.flows.login import LoginService
from backend.flows.recover import RecoverService
from backend.flows.register import RegisterService
from backend.flows.settlement import Settlement
from backend.mail.backlog import BacklogGauge
from backend.mail.sealed_recipient import RecipientEncryptor
from backend.operations.health import HealthService
from backend.operations.metrics import MetricsService
from backend.operations.proxy_check import SingleClientWarning
from backend.passwords.hash_pool import HashPool
from backend.passwords.hasher import PasswordHasher
from backend.protection.code_attempts import CodeAttempts
from backend.protection.known_devices import KnownDevices
from backend.protection.rate_limits import RateLimits
from backend.sessions.authentication import Authenticator
from backend.sessions.introspection import IntrospectionService, ServiceClients
from backend.sessions.profile import read_signed_in
from backend.sessions.service import SessionService
from backend.tokens.access_tokens import TokenService
from backend.tokens.refresh_tokens import RefreshTokens
from backend.tokens.server_metadata import ServerMetadataService
from backend.tokens.signing_keys import SigningKeys
from config import Settings
from database.sessions import SessionLife
from jwt_tools.decode import TokenVerifier
from models.values.flow import CODE_MAIL
from redis_tools.user_cache import UserCache
from wiring.shared import Shared
from wiring.signing_keys import read_signing_keys

_ServiceType = TypeVar("_ServiceType")


class Services:
    """Everything that routes and middleware may call."""

    def __init__(self, shared: Shared, signing_keys: SigningKeys, hash_pool: HashPool) -> None:
        settings, database, valkey, keys = shared.settings, shared.database, shared.valkey, shared.keys
        self._backlog = backlog = BacklogGauge(
            database, CODE_MAIL, max_jobs=settings.mail.backlog, max_age=timedelta(seconds=settings.mail.backlog_age)
        )
        audit_buffer = self.audit_buffer = AuditBuffer(database)
        limits = RateLimits(valkey, settings.limit, shared.thermostats, audit_buffer)
        devices = KnownDevices(keys, settings.device.ttl)
        flows = FlowEngine(
            valkey,
            shared.flow_store,
            database,
            keys,
            limits,
            CodeAttempts(valkey, limits, shared.thermostats, audit_buffer),
            Settlement(valkey, shared.flow_store, shared.mail_limits),
            backlog,
            shared.mail_queue,
            audit_buffer,
            settings.flow,
            settings.code,
        )
        hasher = PasswordHasher(hash_pool, settings.hash.iterations)
        tokens = TokenService(signing_keys, settings.issuer, settings.audience, settings.client_id, settings.token.ttl)
        user_cache = UserCache(valkey, partial(read_signed_in, database))
        life, max_sessions = _session_life(settings), settings.session.maximum
        sessions = SessionService(database, limits, user_cache, RefreshTokens(keys), tokens, life, max_sessions)
        reauthentication = Reauthentication(database, limits, hasher, audit_buffer)
        recipients = RecipientEncryptor(keys)
        verifier = TokenVerifier(signing_keys, settings.issuer, settings.audience, settings.token.leeway)
        self.authenticator = Authenticator(verifier, user_cache)
        self.metrics = MetricsService(database, valkey, shared.thermostats)
        self.counters = shared.counters
        self.single_client_warning = SingleClientWarning()
        self._signing_keys = signing_keys
        services = (
            self.authenticator,
            self.metrics,
            flows,
            RegisterService(flows, limits, devices, hasher, settings.service_name),
            LoginService(database, flows, limits, devices, keys, hasher, sessions, tokens),
            RecoverService(database, flows, limits, devices, hasher, user_cache, settings.service_name),
            sessions,
            AccountService(database, user_cache, limits, hasher, reauthentication, settings.service_name),
            EmailChangeService(flows, limits, devices, user_cache, reauthentication, recipients),
            ExportService(database, limits, keys, settings.flow.ttl),
            DeletionService(database, flows, limits, devices, keys, user_cache, recipients),
            IntrospectionService(self.authenticator, sessions),
            AdminUserService(database, keys, user_cache),
            AdminMailService(database),
            AuditLogService(database),
            RoleService(database, user_cache),
            RoleAssignments(database, user_cache),
            ServiceClients(settings.service_clients),
            ServerMetadataService(signing_keys, settings.issuer, settings.key.max_age, has_docs=settings.docs),
            HealthService(database, valkey, signing_keys),
        )
        self._by_type: dict[type, Any] = {type(service): service for service in services}

    def get(self, kind: type[_ServiceType]) -> _ServiceType:
        """Return the service of a type."""
        service: _ServiceType = self._by_type[kind]
        return service

    def duties(self) -> tuple[Coroutine[None, None, None], ...]:
        """Return what has to run beside the requests until it is cancelled."""
        return self._backlog.watch(), self._signing_keys.run(), self.audit_buffer.run(), self.counters.run()


@asynccontextmanager
async def open_services(shared: Shared) -> AsyncIterator[Services]:
    """Build the services with their threads for hashes, which end with the block.

    Raises:
        Unavailable: PostgreSQL is away: without a signing key there is nothing to serve.
    """
    settings = shared.settings
    signing_keys = await read_signing_keys(settings, shared.database, shared.keys)
    seconds_per_hash = settings.hash.iterations / 5_000_000
    pool = HashPool(settings.hash.threads, settings.hash.queue_timeout, seconds_per_hash, shared.counters)
    try:
        yield Services(shared, signing_keys, pool)
    finally:
        pool.close()


def _session_life(settings: Settings) -> SessionLife:
    idle, absolute = timedelta(seconds=settings.session.idle), timedelta(seconds=settings.session.absolute)
    return SessionLife(idle, absolute, timedelta(seconds=settings.refresh.reuse_interval))
