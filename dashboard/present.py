"""Records to the plain mappings that API and WebSocket answer with. Pure; `encode` makes strict JSON of them.

Non-finite numbers stay floats here and become the strings "NaN", "Infinity" and "-Infinity" in `encode`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from dashboard.axes import Places
from dashboard.fixes import Child
from dashboard.outcomes import Outcome
from dashboard.receipts import WriterReceipt
from dashboard.records import Command, FindingRecord, LogLine, Run, RunSummary, Sample, Series, TimelineEntry
from dashboard.roles import latest_of
from runwell.wire import dumps


def encode(value: object) -> bytes:
    """Strict JSON: never bare NaN, never null in its place."""
    return dumps(value).encode()


def run(record: Run) -> dict[str, Any]:
    """A run with everything known of it."""
    return {
        "id": record.id, "project": record.project, "name": record.name, "state": record.state.value,
        "state_reason": record.state_reason, "verdict": record.verdict, "tags": list(record.tags),
        "config": dict(record.config), "parent": record.parent_id, "created_at": record.created_at,
        "started_at": record.started_at, "ended_at": record.ended_at, "last_event_at": record.last_event_at,
        "last_step": record.last_step, "planned_steps": record.planned_steps, "launched": record.launched,
        "host": record.host, "pid": record.pid, "exit_code": record.exit_code,
    }  # fmt: skip


def summary(record: RunSummary) -> dict[str, Any]:
    """A run as lists show it: without its config, with its latest numbers."""
    shown = run(record.run)
    del shown["config"]
    return shown | {
        "latest": dict(record.latest), "best_val_loss": record.best_val_loss, "best_val_step": record.best_val_step,
        "sparkline": list(record.sparkline),
        "open_findings": [{"severity": severity, "title": title} for severity, title in record.open_findings],
        "known_findings": [{"severity": severity, "title": title} for severity, title in record.known_findings],
        "train_loss": latest_of(record.latest, "train_loss"),
        "tokens_per_second": latest_of(record.latest, "tokens_per_second"),
    }  # fmt: skip


def series(record: Series) -> dict[str, Any]:
    """A series as columns of equal length."""
    return {
        "name": record.name, "step": record.step.tolist(), "time": record.time.tolist(), "min": record.min.tolist(),
        "max": record.max.tolist(), "mean": record.mean.tolist(), "last": record.last.tolist(),
        "count": record.count.tolist(), "nonfinite": record.nonfinite.tolist(), "min_step": record.min_step.tolist(),
        "max_step": record.max_step.tolist(),
    }  # fmt: skip


def places(axis: str, record: Places) -> dict[str, Any]:
    """Where a series lies on another x axis: columns beside its own."""
    return {"axis": axis, "x": record.x.tolist(), "min_x": record.min_x.tolist(), "max_x": record.max_x.tolist()}


def sample(record: Sample) -> dict[str, Any]:
    """A text sample."""
    return dataclasses.asdict(record)


def line(record: LogLine) -> dict[str, Any]:
    """A line of output."""
    return dataclasses.asdict(record)


def entry(record: TimelineEntry) -> dict[str, Any]:
    """An entry of the timeline, its own fields beside `kind`, `step` and `time`."""
    return {**record.data, "kind": record.kind, "step": record.step, "time": record.time}


def finding(record: FindingRecord) -> dict[str, Any]:
    """A finding: what the engine said, and over it what the store knows of its life."""
    return {
        **record.body, "run": record.run_id, "rule": record.rule, "subject": record.subject, "status": record.status,
        "severity": record.severity, "title": record.title, "first_step": record.first_step,
        "detected_step": record.detected_step, "last_step": record.last_step, "opened_at": record.opened_at,
        "resolved_at": record.resolved_at,
    }  # fmt: skip


def findings(verdict: str, records: Iterable[FindingRecord]) -> dict[str, Any]:
    """A run's verdict and findings, as `/findings` and the WebSocket give them."""
    return {"verdict": verdict, "findings": [finding(record) for record in records]}


def child(record: Child) -> dict[str, Any]:
    """A relaunch as its parent lists it: `changes` is `{setting: [old, new]}`, None when the settings cannot be compared."""
    changes = None if record.changes is None else {one.name: [one.old, one.new] for one in record.changes}
    run = record.run
    return {"id": run.id, "name": run.name, "state": run.state.value, "verdict": run.verdict, "changes": changes}


def fixes(records: Mapping[tuple[str, str], Iterable[Outcome]]) -> list[dict[str, Any]]:
    """What the relaunches of a run say of each of its findings."""
    return [
        {"rule": rule, "subject": subject, "run": one.run_id, "status": one.status.value, "says": one.sentence}
        for (rule, subject), outcomes in records.items()
        for one in outcomes
    ]


def receipt(record: WriterReceipt) -> dict[str, Any]:
    """A writer's receipt."""
    return dataclasses.asdict(record)


def command(record: Command) -> dict[str, Any]:
    """A command and what became of it."""
    shown = dataclasses.asdict(record)
    shown["run"] = shown.pop("run_id")
    return shown


def order(record: Command) -> dict[str, Any]:
    """A command as its worker gets it."""
    return {"id": record.id, "kind": record.kind, "args": _plain(record.args)}


def _plain(args: Mapping[str, Any]) -> dict[str, Any]:
    return dict(args)
