"""`POST /launches` and what a launch may name: presets, data sets, settings. Nothing else can be started from outside."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from dashboard import present
from dashboard.api.border import Json, client_of, read_object, services
from dashboard.api.newcomers import Newcomers
from dashboard.errors import Conflict, Refused
from dashboard.services import Services
from runwell.wire import shorten
from trainer.catalog import list_datasets, resolve
from trainer.config import Setting, settings
from trainer.presets import PRESETS, build

router = APIRouter(tags=["launches"])

MAX_QUEUED = 500

_BODY = {
    "requestBody": {
        "required": True,
        "description": "Settings by name; those not given are the preset's. `/api/v1/settings` lists them.",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "preset": {"enum": [preset.name for preset in PRESETS]},
                        "dataset": {"type": "string"},
                        "parent": {"type": "string", "description": "the run that this one is to do better than"},
                    },
                    "additionalProperties": True,
                }
            }
        },
    }
}


@router.post("/launches", status_code=201, openapi_extra=_BODY)
async def post_launch(request: Request) -> Json:
    """Queue a training run; answers with the run. A wrong value is refused with `{"detail", "setting"}`."""
    body = await read_object(request)
    newcomers: Newcomers = request.app.state.newcomers
    newcomers.begin(client_of(request))
    return Json(await run_in_threadpool(_launch, services(request), body), 201)


def _launch(parts: Services, values: dict[str, Any]) -> dict[str, Any]:
    parent = values.pop("parent", None)
    if parent is not None and not isinstance(parent, str):
        raise Refused(f"parent {shorten(parent)} is not allowed; it takes a run's id")
    config = build(values)
    resolve(config.dataset, parts.settings.data)  # a missing data set is said here, not by a worker later
    if parent is not None:
        parts.store.run(parent)
    if len(parts.store.queued()) >= MAX_QUEUED:
        raise Conflict(f"{MAX_QUEUED} runs already wait to be started; stop some, or wait")
    return present.run(parts.launcher.submit(config, parent_id=parent))


@router.get("/presets")
def get_presets() -> Json:
    """Named starting points for a launch."""
    return Json({"presets": [{"name": p.name, "note": p.note, "changes": dict(p.changes)} for p in PRESETS]})


@router.get("/datasets")
def get_datasets(request: Request) -> Json:
    """What can be trained on: the built-in text, and files and folders under the data folder."""
    folder = services(request).settings.data
    found = [{"name": d.name, "kind": d.kind, "bytes": d.bytes, "note": d.note} for d in list_datasets(folder)]
    return Json({"folder": str(folder), "datasets": found})


@router.get("/settings")
def get_settings() -> Json:
    """Every setting of a launch: kind, default, bounds or choices, meaning."""
    return Json({"settings": [_setting(one) for one in settings()]})


def _setting(one: Setting) -> dict[str, Any]:
    bounds = [one.bounds.low, one.bounds.high] if one.bounds else None
    return {
        "name": one.name, "kind": one.kind.__name__, "default": one.default, "help": one.help, "allowed": one.allowed,
        "bounds": bounds, "choices": list(one.choices), "flag": one.flag,
    }  # fmt: skip
