"""The service: opens the connections, and puts the rooms together.

Importing this module needs no environment: ``app`` is made when it is first asked for.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from api import ROUTERS, problems
from api.deps import State
from api.middleware.body_limit import BodyLimit
from api.middleware.errors import ErrorBoundary
from api.middleware.request_id import RequestId
from api.middleware.request_metrics import RequestMetrics
from api.openapi import docs
from backend.operations.startup_checks import advise_length, warn_of_caught_mail
from config import Settings, load_settings, setting_warnings
from database.engine import open_database
from redis_tools.connection import open_valkey
from wiring.mail_worker import open_mail_worker
from wiring.services import open_services
from wiring.shared import Shared

log = logging.getLogger(__name__)

_SUMMARY = """\
Register, log in and recover a lost password; each action is confirmed by a one-time code sent by e-mail.

Each answer names the `next` call, and its `session_key` opens it. Success at `/login/confirm` gives an access token:
put it into **Authorize** to call `/me`. The refresh token beside it is for `/token/refresh`, ten minutes later.
"""

_TAGS = [
    {"name": "register", "description": "1. `/register` 2. the code from the mail to `/register/confirm`"},
    {"name": "login", "description": "1. `/login` 2. the code from the mail to `/login/confirm`: tokens"},
    {"name": "recover", "description": "1. `/recover` 2. the code to `/recover/confirm` 3. `/recover/password`"},
    {"name": "session", "description": "A log-in goes on, or ends."},
    {"name": "account", "description": "The own account, with the access token."},
    {"name": "users", "description": "Accounts, for administrators."},
    {"name": "roles", "description": "Who may do what, for administrators."},
    {"name": "mail", "description": "Mail that has not left, for administrators."},
    {"name": "audit", "description": "What happened to accounts, for administrators."},
    {"name": "tokens", "description": "For services that verify our tokens."},
    {"name": "health", "description": "For the operator."},
]


def stop_process_on_failure(duty: asyncio.Task[None]) -> None:
    """Stop the process when one of its duties has failed: without its duties it would answer requests wrongly.

    Each duty catches the errors that it expects, so this one is a bug. The supervisor starts the process again.
    """
    if not duty.cancelled() and (error := duty.exception()):
        log.critical("a duty has failed, the process ends", exc_info=error)
        os.kill(os.getpid(), signal.SIGTERM)


def create_app(settings: Settings) -> FastAPI:
    """The service with these settings."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        async with AsyncExitStack() as stack:
            database = await stack.enter_async_context(open_database(settings.database))
            valkey = await stack.enter_async_context(open_valkey(settings.redis))
            shared = Shared(settings, database, valkey)
            services = await stack.enter_async_context(open_services(shared))
            app.state.token_verifier = services.authenticator
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            background = [tasks.create_task(duty) for duty in services.duties()]
            if settings.mail.worker:
                worker = await stack.enter_async_context(open_mail_worker(shared))
                background.append(tasks.create_task(worker.run()))
            for task in background:
                task.add_done_callback(stop_process_on_failure)
            warn_of_caught_mail(settings.domain, [server.get_secret_value() for server in settings.smtp.url])
            await advise_length(services.metrics, settings.least_digits)
            yield State(services=services)
            for task in background:
                task.cancel()

    app = FastAPI(
        title=settings.service_name,
        description=_SUMMARY,
        openapi_tags=_TAGS,
        # The name of a generated client's method: open_registration, not open_registration_register_post.
        generate_unique_id_function=lambda route: route.name,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json" if settings.docs else None,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    for router in ROUTERS:
        app.include_router(router)
    problems.install(app)
    if settings.docs:
        docs.install(app)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            # A page of one of these origins that sends its cookies along is known as the device it runs on.
            allow_credentials="*" not in settings.cors_origins,
            expose_headers=["Retry-After", "X-Device", "X-Request-Id"],
        )
    app.add_middleware(BodyLimit)
    app.add_middleware(ErrorBoundary)
    app.add_middleware(RequestMetrics)
    if settings.trusted_proxies:
        # X-Forwarded-For is the client's own pen: only what a proxy of ours has written there is believed.
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(settings.trusted_proxies))
    app.add_middleware(RequestId, trusted_proxies=settings.trusted_proxies)
    return app


def __getattr__(name: str) -> FastAPI:
    if name == "app":
        created = create_app(load_settings())
        for warning in setting_warnings():
            log.warning(warning)
        globals()["app"] = created  # one app a process, however often it is asked for
        return created
    raise AttributeError(name)
