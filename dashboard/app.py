"""Builds the whole server as one ASGI application: `create_app(settings)`. Nothing is global, two can live in one process.

FastAPI answers `/api/v1/…`, `/docs` and `/login`; Dash serves the pages from threads of its own, mounted at "/", so that
a slow callback never holds up the event loop. A guard for tokens, Host and Origin stands around both.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version

from a2wsgi import WSGIMiddleware
from fastapi import APIRouter, FastAPI, Request
from starlette.concurrency import run_in_threadpool
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.responses import Response
from starlette.routing import Match

from dashboard.api import events, findings, launches, live_socket, login, reference, rules, runs
from dashboard.api.border import ERRORS, MAX_BODY, Json, add_error_answers, error, not_found
from dashboard.api.intake import Intake
from dashboard.api.newcomers import Newcomers
from dashboard.collector import Collector
from dashboard.errors import DashboardError
from dashboard.judgement import engines_with
from dashboard.launcher import Launcher
from dashboard.live import Hub
from dashboard.relay import Relay
from dashboard.rule_settings import find_rule_settings, read_rule_settings
from dashboard.security import Guard
from dashboard.services import Services
from dashboard.settings import Settings
from dashboard.store import Store
from dashboard.ui.app import create_ui
from dashboard.watcher import Watcher
from trainer.presets import build

log = logging.getLogger(__name__)

API = "/api/v1"
PAGE_THREADS = 16
CHECK_SECONDS = 2.0
"""How long a start may look whether the database is whole; a large one is read on, and damage said where it is met."""
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def create_app(settings: Settings) -> FastAPI:
    """The application; its threads start and end with its lifespan. Raises StoreError when the store cannot be opened."""
    settings.home.mkdir(parents=True, exist_ok=True)
    services = create_services(settings)
    app = FastAPI(
        title="Runwell",
        version=_version(),
        description="Watches language-model training runs. Everything that the pages show and do, for programs.",
        docs_url=None,  # FastAPI's own pages load scripts from a CDN; ours is in api/reference.py
        redoc_url=None,
        lifespan=_lifespan,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.services = services
    app.state.intake = Intake()
    app.state.newcomers = Newcomers(settings.max_new_runs)
    add_error_answers(app)
    for module in (runs, events, findings, launches, rules, live_socket):
        app.include_router(module.router, prefix=API, responses=ERRORS)
    app.include_router(_health(), prefix=API, responses=ERRORS)
    app.include_router(login.router)
    app.include_router(reference.router)
    for path in ("/api", "/api/{rest:path}"):
        app.add_api_route(path, _no_such_route, methods=METHODS, include_in_schema=False)
    pages = WSGIMiddleware(create_ui(services).server, workers=PAGE_THREADS)
    app.mount(
        "/", RequestBodyLimitMiddleware(pages, max_body_size=MAX_BODY)
    )  # the API's own routes say theirs in a sentence
    app.add_middleware(Guard, settings=settings)
    return app


def create_services(settings: Settings) -> Services:
    """The parts of a server, wired and not started. Raises SettingsError when the rules' settings file is wrong."""
    options = read_rule_settings(find_rule_settings(settings.home))
    store, hub = Store.open(settings.database_url), Hub()
    store.check(CHECK_SECONDS)
    watcher = Watcher(store, hub, engine=engines_with(options))
    collector = Collector(store, hub, watcher.notify)
    launcher = Launcher(store, hub, settings, ingest=collector.accept)
    relay = Relay(store, hub, collector, watcher.notify)
    return Services(
        settings=settings, store=store, hub=hub, watcher=watcher, launcher=launcher, collector=collector, relay=relay
    )  # fmt: skip


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    services: Services = app.state.services
    await run_in_threadpool(start, services)
    try:
        yield
    finally:
        await run_in_threadpool(stop, services)


def start(services: Services) -> None:
    """Start the threads, and a first run on an empty store when that is wanted."""
    services.collector.start()
    services.watcher.start()
    services.relay.start()
    services.launcher.start()
    if services.settings.first_run and not services.store.runs(limit=1):
        try:
            services.launcher.submit(build({"preset": "minimal", "name": "First run"}))
        except (DashboardError, OSError) as problem:
            log.error("the first run could not be launched: %s", problem)


def stop(services: Services) -> None:
    """End the threads; workers go on."""
    services.launcher.stop()
    services.relay.stop()
    services.watcher.stop()
    services.collector.stop()
    services.store.close()


def _health() -> APIRouter:
    router = APIRouter(tags=["health"])

    @router.get("/health")
    def get_health(request: Request) -> Json:
        """Whether the server and its store answer; needs no token."""
        request.app.state.services.store.runs(limit=1)
        return Json({"status": "ok", "name": "runwell", "version": _version()})

    return router


async def _no_such_route(request: Request) -> Response:
    """404 for an unknown address below /api, 405 for a known one with another method; never a page."""
    for route in request.app.router.routes:
        if route.matches(request.scope)[0] is Match.PARTIAL:
            return error(405, f"{request.method} is not what {request.url.path[:200]} takes; /docs lists what there is")
    return await not_found(request)


def _version() -> str:
    try:
        return version("runwell")
    except PackageNotFoundError:
        return "0"
