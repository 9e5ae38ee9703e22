"""Runs and what is kept of each: the list, one run, its series, samples, lines, timeline; commands and stop."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool

from dashboard import present
from dashboard.api.border import Json, read_object, services
from dashboard.axes import AXES, AxisKind, need_token_counts, places
from dashboard.commands import check_command
from dashboard.deletion import bytes_on_disk, delete
from dashboard.errors import Conflict, Refused
from dashboard.records import State
from dashboard.relaunch import children_of
from runwell.wire import shorten

router = APIRouter(tags=["runs"])

MAX_STEP = 2**53
MAX_NAMES = 200
MAX_ROWS = 400_000
"""Of one answer: 50 MB as text, and several times that while it is made."""
MAX_WAITING_COMMANDS = 100

Name = Annotated[
    list[str] | None, Query(description="series; may be given several times; without it: the names there are")
]
Step = Annotated[int | None, Query(ge=0, le=MAX_STEP)]
Axis = Annotated[
    str | None, Query(description="; ".join(AXES) + ": adds where each row and its extremes lie on that axis")
]


@router.get("/runs")
def get_runs(
    request: Request,
    project: str | None = None,
    state: Annotated[list[str] | None, Query(description="; ".join(State))] = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> Json:
    """Runs, newest first, each with its latest numbers."""
    found = services(request).store.summaries(project=project, states=_states(state), limit=limit)
    return Json({"runs": [present.summary(summary) for summary in found]})


def _states(names: list[str] | None) -> list[State] | None:
    try:
        return None if not names else [State(name) for name in names]
    except ValueError:
        wrong = next(name for name in names or [] if name not in set(State))
        raise Refused(f"state {shorten(wrong)} is unknown; it takes one of {', '.join(State)}") from None


@router.get("/runs/{run_id}")
def get_run(run_id: str, request: Request) -> Json:
    """One run: its state, its config, its latest numbers, and its relaunches, newest first."""
    store = services(request).store
    summary = store.summary(run_id)
    children = [present.child(child) for child in children_of(store, summary.run)]
    return Json(present.summary(summary) | present.run(summary.run) | {"children": children})


@router.get("/runs/{run_id}/series")
def get_series(
    run_id: str,
    request: Request,
    name: Name = None,
    start: Annotated[Step, Query(alias="from", description="first step")] = None,
    stop: Annotated[Step, Query(alias="to", description="last step, included")] = None,
    buckets: Annotated[int, Query(ge=1, le=10_000, description="at most so many rows a series")] = 1000,
    x: Axis = None,
) -> Json:
    """Chart columns of equal length. One name gives its columns, several give `{"series": [...]}`, none the names."""
    store = services(request).store
    if not name:
        return Json({"names": store.series_names(run_id)})
    if start is not None and stop is not None and start > stop:
        raise Refused(f"from = {start} is after to = {stop}")
    if len(name) > MAX_NAMES:
        raise Refused(f"{len(name)} names are too many; ask for at most {MAX_NAMES} at once")
    if len(name) * buckets > MAX_ROWS:
        raise Refused(
            f"{len(name)} names of {buckets:,} buckets are {len(name) * buckets:,} rows; ask for at most {MAX_ROWS:,} at once"
        )
    axis = _axis(x)
    tokens = need_token_counts(store, store.run(run_id)) if axis == "tokens" else None
    found = []
    for one in name:
        series = store.series(run_id, one, start=start, stop=stop, buckets=buckets, times=axis == "time")
        found.append(present.series(series) | (present.places(axis, places(series, axis, tokens)) if axis else {}))
    return Json(found[0] if len(found) == 1 else {"series": found})


def _axis(x: str | None) -> AxisKind | None:
    axis = next((axis for axis in AXES if axis == x), None)
    if x is not None and axis is None:
        raise Refused(f"x = {shorten(x)} is unknown; it takes one of {', '.join(AXES)}")
    return axis


@router.get("/runs/{run_id}/samples")
def get_samples(run_id: str, request: Request, limit: Annotated[int, Query(ge=1, le=10_000)] = 1000) -> Json:
    """The newest text samples, oldest first."""
    return Json({"samples": [present.sample(one) for one in services(request).store.samples(run_id, limit=limit)]})


@router.get("/runs/{run_id}/logs")
def get_logs(
    run_id: str,
    request: Request,
    after: Annotated[
        int | None, Query(ge=0, le=MAX_STEP, description="only lines numbered above; without it: the last")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 500,
) -> Json:
    """Lines of output, oldest first."""
    store = services(request).store
    found = store.tail_logs(run_id, limit) if after is None else store.logs(run_id, after=after, limit=limit)
    return Json({"lines": [present.line(one) for one in found]})


@router.get("/runs/{run_id}/timeline")
def get_timeline(run_id: str, request: Request, limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000) -> Json:
    """The newest checkpoints, states, alerts, acknowledged commands and rewinds, in order."""
    return Json({"timeline": [present.entry(one) for one in services(request).store.timeline(run_id, limit=limit)]})


@router.get("/runs/{run_id}/delivery")
def get_delivery(run_id: str, request: Request) -> Json:
    """What arrived of the run and what did not, writer by writer: gaps, lag, doubles, drops. All zero when all is well."""
    parts = services(request)
    writers = [present.receipt(one) for one in parts.collector.receipts(run_id)]
    return Json({"dropped": parts.store.dropped(run_id), "writers": writers})


@router.get("/runs/{run_id}/commands")
def get_commands(run_id: str, request: Request) -> Json:
    """Commands given to the run's worker, oldest first, with what became of them."""
    return Json({"commands": [present.command(one) for one in services(request).store.commands(run_id)]})


_COMMAND = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["kind"],
                    "properties": {
                        "kind": {"enum": ["stop", "checkpoint", "sample", "set"]},
                        "args": {
                            "type": "object",
                            "description": "sample: prompt, temperature, top_k, top_p, tokens; set: learning_rate_factor, grad_clip",
                        },
                    },
                }
            }
        },
    }
}


@router.post("/runs/{run_id}/commands", status_code=201, openapi_extra=_COMMAND)
async def post_command(run_id: str, request: Request) -> Json:
    """Ask the run's worker for something: `stop`, `checkpoint`, `sample` or `set`. It answers on the timeline."""
    body = await read_object(request)
    kind, args = check_command(body.get("kind"), body.get("args"))
    store = services(request).store

    def add() -> Json:
        run = store.run(run_id)
        if run.state.ended:
            raise Conflict(
                f"run {run_id!r} has ended ({run.state.value}); a command reaches only a run that is going on"
            )
        if len(store.pending_commands(run_id)) >= MAX_WAITING_COMMANDS:
            raise Conflict(
                f"{MAX_WAITING_COMMANDS} commands already wait for run {run_id!r}; wait until its worker answers"
            )
        return Json(present.command(store.add_command(run_id, kind, args)), 201)

    return await run_in_threadpool(add)


@router.post("/runs/{run_id}/stop")
def post_stop(run_id: str, request: Request) -> Json:
    """Stop a run: one that waits is cancelled, one that trains writes a checkpoint first."""
    return Json(present.run(services(request).launcher.stop_run(run_id)))


@router.delete("/runs/{run_id}")
def delete_run(
    run_id: str,
    request: Request,
    checkpoints: Annotated[
        bool, Query(description="delete its checkpoints and its whole output on disk as well")
    ] = False,
) -> Json:
    """Delete a run that has ended, with all that the store keeps of it; what stays of it on disk is said in bytes."""
    parts = services(request)
    delete(parts.store, [run_id], folders_under=parts.settings.home if checkpoints else None)
    return Json({"deleted": run_id, "bytes_on_disk": bytes_on_disk(parts.settings.home, [run_id])})
