"""The application: opens the connections, builds the services, and answers requests with the routes of ``api``.

Importing this module needs no settings: ``app`` is created when it is first used.
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

from api import ROUTERS
from api.deps import State
from api.middleware.body_limit import BodyLimit
from api.middleware.error_boundary import ErrorBoundary
from api.middleware.request_id import RequestId
from api.middleware.request_metrics import RequestMetrics
from api.openapi.description import SUMMARY, TAGS, add_error_schemas, operation_id
from api.openapi.docs import add_docs_page
from api.problems import add_error_handlers
from backend.operations.startup_checks import advise_length, warn_of_caught_mail
from config import Settings, load_settings, setting_warnings
from database.engine import open_database
from redis_tools.connection import open_valkey
from wiring.mail_worker import open_mail_worker
from wiring.services import open_services
from wiring.shared import Shared

log = logging.getLogger(__name__)


def stop_process_on_failure(duty: asyncio.Task[None]) -> None:
    """Stop the process when one of its duties has failed: without its duties it would answer requests wrongly.

    Each duty catches the errors that it expects, so this one is a bug. The supervisor starts the process again.
    """
    if not duty.cancelled() and (error := duty.exception()):
        log.critical("a duty has failed, the process ends", exc_info=error)
        os.kill(os.getpid(), signal.SIGTERM)


def create_app(settings: Settings) -> FastAPI:
    """Return the application with these settings."""

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
        description=SUMMARY,
        openapi_tags=TAGS,
        generate_unique_id_function=operation_id,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json" if settings.docs else None,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    for router in ROUTERS:
        app.include_router(router)
    add_error_handlers(app)
    add_error_schemas(app)
    if settings.docs:
        add_docs_page(app)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            # A page of these origins may send the cookie of a known device.
            allow_credentials="*" not in settings.cors_origins,
            expose_headers=["Retry-After", "X-Device", "X-Request-Id"],
        )
    app.add_middleware(BodyLimit)
    app.add_middleware(ErrorBoundary)
    app.add_middleware(RequestMetrics)
    if settings.trusted_proxies:
        # A client can write anything into X-Forwarded-For: only the entries of our own proxies are believed.
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(settings.trusted_proxies))
    app.add_middleware(RequestId, trusted_proxies=settings.trusted_proxies)
    return app


def __getattr__(name: str) -> FastAPI:
    if name == "app":
        created = create_app(load_settings())
        for warning in setting_warnings():
            log.warning(warning)
        globals()["app"] = created  # one app in each process
        return created
    raise AttributeError(name)
