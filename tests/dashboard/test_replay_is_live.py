"""Whatever happens to a run, what was said of it live, batch by batch, is what a replay of the stored run says at once."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dashboard.judgement import Judgement, judgement_of
from dashboard.live import Hub
from dashboard.records import State
from dashboard.store import Store
from dashboard.watcher import Watcher
from diagnostics import Engine
from runwell.wire import Batch
from tests.stories import PLAIN, stories, tell

WAIT = 60.0
SICK = [("config", 30, 0), ("timed", 1, 0), ("falls", 70, 1), ("spike", 30, 2), ("falls", 30, 3), ("checkpoint", 1, 0),
        ("climbs", 60, 4), ("rewind", 80, 0), ("falls", 40, 5), ("sample", 2, 0), ("silence", 40, 0), ("nan", 9, 6),
        ("log", 1, 0), ("ends", 1, 0)]  # fmt: skip
"""Several rules speak, one after the other, and some take it back."""

Pace = list[tuple[int, bool, int]]
"""Of each batch: its events, whether the watcher has judged them before the next one comes, and seconds that pass then."""

paces = st.lists(st.tuples(st.integers(1, 90), st.booleans(), st.sampled_from([0, 0, 0, 700])), min_size=1, max_size=12)


def live(store: Store, run_id: str, events: list[dict[str, Any]], pace: Pace, clock: Any) -> None:
    """Store a run in batches beside a watcher, which a restart may replace in between."""
    store.create_run(run_id, state=State.RUNNING)
    watcher = Watcher(store, Hub(), clock)
    watcher.start()
    edges = [0]
    for length, _, _ in pace:
        edges.append(min(len(events), edges[-1] + length))
    for (start, stop), (_, waits, seconds) in zip(pairwise([*edges, len(events)]), [*pace, (0, True, 0)], strict=True):
        if stop > start:
            store.append(run_id, Batch("w", start + 1, tuple(events[start:stop])))
        watcher.notify(run_id)
        if waits:
            watcher.drain(WAIT)
        clock.pass_(seconds)
    watcher.drain(WAIT)
    watcher.stop()


def one_shot(store: Store, run_id: str) -> tuple[list[dict[str, Any]], Mapping[str, Any]]:
    engine = Engine()
    engine.observe_all(event for _, event in store.replay(run_id))
    read = {name: told for name, told in engine.reading().to_mapping().items() if name != "steps"}
    return [finding.to_mapping() for finding in engine.findings()], engine.coverage().to_mapping() | {"read": read}


def stored(store: Store, run_id: str) -> list[dict[str, Any]]:
    return by_identity([dict(record.body) for record in store.findings(run_id)])


def by_identity(findings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(findings, key=lambda finding: (finding["rule"], finding["subject"]))


def check(store: Store, run_id: str) -> list[dict[str, Any]]:
    said = stored(store, run_id)
    found, coverage = one_shot(store, run_id)
    assert said == by_identity(found)
    judged = Judgement(run_id, {})
    judged.take(store.replay(run_id))
    assert dict(store.coverage(run_id)) == {**coverage, "judged_through": judged.cursor} == judged.coverage()
    assert store.run(run_id).verdict == judged.verdict()
    return said


@settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=stories(PLAIN, longest=40), pace=paces, run=st.uuids())
@example(events=tell(SICK), pace=[(1, True, 0), (150, False, 700), (60, True, 700), (45, True, 0)], run="sick")
def test_live_is_replay(store: Store, clock: Any, events: list[dict[str, Any]], pace: Pace, run: Any) -> None:
    live(store, f"run-{run}", events, pace, clock)
    said = check(store, f"run-{run}")
    if run == "sick":
        assert {"loss-spike", "divergence", "non-finite-loss", "crashed-run"} <= {finding["rule"] for finding in said}


@pytest.mark.parametrize("every", [1, 37])
def test_what_was_known_when_is_the_same_in_a_replay(store: Store, clock: Any, every: int) -> None:
    """Not only the end: after each batch, what is stored is what a replay up to there finds."""
    events = tell(SICK[:6] if every == 1 else SICK)
    store.create_run("run", state=State.RUNNING)
    watcher = Watcher(store, Hub(), clock)
    watcher.start()
    for start in range(0, len(events), every):
        store.append("run", Batch("w", start + 1, tuple(events[start : start + every])))
        if start % 37 == 0:
            watcher.notify("run")
            watcher.drain(WAIT)
            whole = judgement_of(store.run("run"))
            whole.take(store.replay("run"))
            assert stored(store, "run") == by_identity(whole.findings())
    watcher.stop()
