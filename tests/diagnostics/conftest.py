"""The two verbs that rules are tested with, and a short way to write a run down."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pytest

from diagnostics import Engine, Finding

Events = Iterable[Mapping[str, Any]]
Row = Sequence[float]


def write_run(steps: Sequence[int] | None = None, **series: Row) -> list[dict[str, Any]]:
    """Events of a run: `train_loss=[…], val_loss=[…]`, steps 0, 1, 2, … unless given."""
    length = max(map(len, series.values()))
    steps = range(length) if steps is None else steps
    return [
        {"type": "metrics", "step": step, **{name: float(row[at]) for name, row in series.items() if at < len(row)}}
        for at, step in enumerate(steps)
    ]


def judge(events: Events, config: Mapping[str, Any] | None = None) -> list[Finding]:
    """All findings on a run; fails when a rule broke."""
    engine = Engine(config)
    for event in events:
        engine.observe(event)
    assert engine.coverage().failed == {}
    return engine.findings()


@pytest.fixture
def run() -> Callable[..., list[dict[str, Any]]]:
    """`run(train_loss=[…])` writes a run as events."""
    return write_run


@pytest.fixture
def findings() -> Callable[..., list[Finding]]:
    """`findings(events, config)` judges a run."""
    return judge


@pytest.fixture
def assert_finds() -> Callable[..., Finding]:
    """`assert_finds(events, rule, …)`: one of the rules speaks, at warning or critical; returns its finding."""

    def check(events: Events, *rules: str, config: Mapping[str, Any] | None = None, info: bool = False) -> Finding:
        found = judge(events, config)
        loud = [finding for finding in found if finding.rule in rules and (info or finding.severity != "info")]
        assert loud, f"{rules} did not speak; found {[(f.rule, f.severity, f.title) for f in found]}"
        return loud[0]

    return check


@pytest.fixture
def assert_silent() -> Callable[..., None]:
    """`assert_silent(events)`: nothing above info; with rule names, nothing at all from those."""

    def check(events: Events, *rules: str, config: Mapping[str, Any] | None = None) -> None:
        found = judge(events, config)
        loud = [(f.rule, str(f.severity), f.title) for f in found if f.rule in rules or f.severity != "info"]
        assert not loud, loud

    return check
