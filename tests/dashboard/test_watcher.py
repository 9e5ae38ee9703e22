"""The watcher judges every event once and in order; restarts, dropped engines and odd batches change nothing."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dashboard.judgement import THROUGH, Judgement
from dashboard.live import Hub
from dashboard.records import State
from dashboard.silences import Silences
from dashboard.store import Store
from dashboard.watcher import Watcher
from diagnostics.engine import Engine
from runwell.wire import Batch

NAN = float("nan")
SICK = [4.2, 3.9, 3.7, 3.5, NAN, NAN, NAN, NAN, math.inf, NAN]
HEALTHY = [4.2, 3.8, 3.3, 2.9, 2.5, 2.2, 1.9, 1.7, 1.6, 1.5]
WAIT = 30.0


class Recorder(Hub):
    """A hub that remembers what was published."""

    def __init__(self) -> None:
        super().__init__()
        self.published: list[tuple[str, str, Mapping[str, Any]]] = []

    def publish(self, kind: str, run_id: str, payload: Mapping[str, Any], parent_id: str | None = None) -> int:
        self.published.append((kind, run_id, payload))
        return super().publish(kind, run_id, payload, parent_id)

    def kinds(self, run_id: str) -> list[str]:
        return [kind for kind, run, _ in self.published if run == run_id]


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def watch(store: Store, recorder: Recorder, clock: Any) -> Iterator[Callable[..., Watcher]]:
    """Started watchers, ended afterwards."""
    started: list[Watcher] = []

    def watch(**options: Any) -> Watcher:
        watcher = Watcher(store, recorder, clock, **options)
        watcher.start()
        started.append(watcher)
        return watcher

    yield watch
    for watcher in started:
        watcher.stop()


def points(losses: list[float], start: int = 0) -> tuple[dict[str, Any], ...]:
    return tuple(
        {"type": "metrics", "step": start + n, "time": 1.0 + n, "train/loss": loss} for n, loss in enumerate(losses)
    )


def log_points(store: Store, run_id: str, losses: list[float], first_seq: int = 1) -> None:
    store.create_run(run_id, state=State.RUNNING)
    store.append(run_id, Batch("w", first_seq, points(losses, first_seq - 1)))


def rules(store: Store, run_id: str) -> dict[str, str]:
    return {record.rule: record.status for record in store.findings(run_id)}


def test_a_sick_run_gets_its_finding_stored_and_published(store: Store, recorder: Recorder, watch: Any) -> None:
    watcher = watch()
    log_points(store, "sick", SICK)
    log_points(store, "well", HEALTHY)
    watcher.notify("sick")
    watcher.notify("well")
    watcher.drain(WAIT)
    assert rules(store, "sick")["non-finite-loss"] == "open" and store.run("sick").verdict == "critical"
    assert rules(store, "well") == {} and store.run("well").verdict == "healthy"
    # The last one: a watcher that has just started may have found the run before its first numbers, and said so.
    payload = [body for kind, run, body in recorder.published if (kind, run) == ("findings", "sick")][-1]
    assert payload["verdict"] == "critical" and payload["findings"][0]["rule"] == "non-finite-loss"
    json.dumps(payload, allow_nan=False)
    assert "run" in recorder.kinds("sick")


def test_nothing_is_published_when_nothing_changed(store: Store, recorder: Recorder, watch: Any) -> None:
    watcher = watch()
    log_points(store, "well", HEALTHY)
    watcher.notify("well")
    watcher.drain(WAIT)
    before = len(recorder.published)
    for _ in range(3):
        watcher.notify("well")
        watcher.drain(WAIT)
    log_points(store, "well", [1.5, 1.4], first_seq=11)
    watcher.notify("well")
    watcher.drain(WAIT)
    assert len(recorder.published) == before


def test_a_run_without_points_has_no_verdict(store: Store, watch: Any) -> None:
    watcher = watch()
    store.create_run("empty")
    store.append("empty", Batch("w", 1, ({"type": "log", "stream": "stdout", "text": "hello"},)))
    watcher.notify("empty")
    watcher.drain(WAIT)
    assert store.run("empty").verdict == "unknown"


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.sets(st.integers(1, len(SICK) - 1)), data=st.data())
def test_batch_boundaries_do_not_matter(
    store: Store, hub: Hub, clock: Any, cuts: set[int], data: st.DataObject
) -> None:
    run_id = data.draw(st.uuids().map(lambda value: f"r-{value}"))
    watcher = Watcher(store, hub, clock)
    watcher.start()
    edges = [0, *sorted(cuts), len(SICK)]
    for start, stop in itertools.pairwise(edges):
        log_points(store, run_id, SICK[start:stop], first_seq=start + 1)
        watcher.notify(run_id)
        if data.draw(st.booleans()):
            watcher.drain(WAIT)
    watcher.drain(WAIT)
    watcher.stop()
    whole = Judgement(run_id, {})
    whole.take(store.replay(run_id))
    assert [dict(record.body) for record in store.findings(run_id)] == whole.findings()
    assert dict(store.coverage(run_id)) == whole.coverage()


def test_a_restart_rebuilds_the_same_findings_and_judges_what_was_missed(store: Store, watch: Any) -> None:
    log_points(store, "run", SICK[:6])
    first = watch()
    first.drain(WAIT)
    first.stop()
    body = store.findings("run")[0].body
    store.set_finding_status("run", "non-finite-loss", store.findings("run")[0].subject, "muted")
    log_points(store, "run", SICK[6:], first_seq=7)  # while no watcher was there
    watch().drain(WAIT)
    record = store.findings("run")[0]
    assert record.status == "muted", "what a person decided survives"
    assert record.body["detected_step"] == body["detected_step"] and record.last_step > body["last_step"]
    assert store.coverage("run")[THROUGH] == len(SICK)


def test_a_run_that_speaks_does_not_wait_for_old_ones(store: Store, hub: Hub, clock: Any) -> None:
    for n in range(3):
        log_points(store, f"old-{n}", SICK)
    log_points(store, "live", SICK)
    order: list[str] = []

    class Listening:
        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        def save_findings(self, run_id: str, *args: Any) -> Any:
            order.append(run_id)
            return store.save_findings(run_id, *args)

    watcher = Watcher(Listening(), hub, clock)  # type: ignore[arg-type]
    watcher.notify("old-0")
    watcher.start()
    watcher.drain(WAIT)
    watcher.stop()
    assert order[0] == "old-0" and sorted(order) == ["live", "old-0", "old-1", "old-2"]


def test_what_was_judged_is_not_judged_again_at_a_restart(store: Store, recorder: Recorder, watch: Any) -> None:
    log_points(store, "run", SICK)
    watch().drain(WAIT)
    before = len(recorder.published)
    watch().drain(WAIT)
    assert len(recorder.published) == before


def test_a_muted_finding_no_longer_decides_the_verdict(store: Store, watch: Any) -> None:
    watcher = watch()
    log_points(store, "run", SICK)
    watcher.notify("run")
    watcher.drain(WAIT)
    for record in store.findings("run"):
        store.set_finding_status("run", record.rule, record.subject, "muted")
    watcher.notify("run")
    watcher.drain(WAIT)
    assert store.run("run").verdict == "healthy"


def test_dropped_engines_are_rebuilt_and_memory_is_bounded(store: Store, watch: Any) -> None:
    watcher = watch(max_judgements=2)
    for turn in range(2):
        for n in range(5):
            log_points(store, f"run-{n}", SICK[turn * 5 : turn * 5 + 5], first_seq=turn * 5 + 1)
            watcher.notify(f"run-{n}")
        watcher.drain(WAIT)
    assert len(watcher._watched) == 2
    for n in range(5):
        assert rules(store, f"run-{n}")["non-finite-loss"] == "open"


class Breaks(Engine):
    """An engine that fails on one event."""

    def observe(self, event: Mapping[str, Any]) -> None:
        if event.get("step") == 2:
            raise ZeroDivisionError("by design")
        super().observe(event)


def test_one_runs_failure_is_said_and_stops_nobody(store: Store, watch: Any, caplog: pytest.LogCaptureFixture) -> None:
    watcher = watch(engine=lambda config, _project: Breaks(config) if config.get("bad") else Engine(config))
    store.create_run("bad", config={"bad": 1}, launched=True)
    log_points(store, "bad", SICK)
    log_points(store, "good", SICK)
    for run_id in ("bad", "good"):
        watcher.notify(run_id)
    watcher.drain(WAIT)
    assert rules(store, "good")["non-finite-loss"] == rules(store, "bad")["non-finite-loss"] == "open"
    assert "ZeroDivisionError" in store.coverage("bad")["failed"]["engine"]
    assert "engine" not in store.coverage("good")["failed"]
    assert sum("engine failed" in record.message for record in caplog.records) == 1


def test_a_store_that_fails_for_a_moment_costs_nothing(store: Store, hub: Hub, clock: Any) -> None:
    log_points(store, "run", SICK)
    failures = iter([OSError("disk full"), OSError("disk full")])

    class Shaky:
        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        def save_findings(self, *args: Any) -> Any:
            if (error := next(failures, None)) is not None:
                raise error
            return store.save_findings(*args)

    watcher = Watcher(Shaky(), hub, clock)  # type: ignore[arg-type]
    watcher.start()
    watcher.drain(WAIT)
    watcher.stop()
    assert rules(store, "run")["non-finite-loss"] == "open"


def test_a_deleted_run_is_forgotten(store: Store, watch: Any) -> None:
    watcher = watch()
    log_points(store, "gone", SICK)
    store.delete_run("gone")
    watcher.notify("gone")
    watcher.drain(WAIT)
    assert "gone" not in watcher._watched


def test_drain_says_who_is_late(store: Store, hub: Hub, clock: Any) -> None:
    watcher = Watcher(store, hub, clock)  # never started
    watcher.notify("late")
    with pytest.raises(TimeoutError, match="late"):
        watcher.drain(0.01)


def steady(count: int, start: int = 0, begins: float = 1000.0) -> tuple[dict[str, Any], ...]:
    """A point every two seconds, by the run's own clock."""
    steps = range(start, start + count)
    return tuple({"type": "metrics", "step": n, "time": begins + 2.0 * n, "train/loss": 4 - n / 50} for n in steps)


def test_a_run_that_goes_on_and_sends_nothing_is_told(store: Store, recorder: Recorder, clock: Any, watch: Any) -> None:
    watcher = watch()
    store.create_run("run", state=State.RUNNING)
    store.append("run", Batch("w", 1, steady(40)))
    heard_at = store.run("run").last_event_at
    watcher.notify("run")
    watcher.drain(WAIT)
    clock.pass_(899)
    watcher.notify("run")
    watcher.drain(WAIT)
    assert rules(store, "run") == {}
    clock.pass_(2)
    watcher.notify("run")  # wakes it: its own alarm waits for seconds that only a test can skip
    watcher.drain(WAIT)
    (record,) = store.findings("run")
    assert (record.rule, record.severity, record.status) == ("stalled-run", "warning", "open")
    assert record.body["detected_step"] == 39 and store.run("run").verdict == "warning"
    assert any(kind == "findings" and body["findings"] for kind, _, body in recorder.published)
    clock.pass_(1000)
    watcher.notify("run")
    watcher.drain(WAIT)
    assert store.findings("run")[0].severity == "critical"
    assert store.run("run").last_event_at == heard_at, "the server's own word is no sign of life"
    whole = Judgement("run", {})
    whole.take(store.replay("run"))
    told = [dict(record.body) for record in store.findings("run")]
    assert told == whole.findings(), "a replay of what is stored finds the same"
    back = tuple({**event, "time": event["time"] + 2000} for event in steady(5, 40))
    store.append("run", Batch("w", 41, back))
    watcher.notify("run")
    watcher.drain(WAIT)
    assert store.findings("run")[0].status == "resolved" and store.run("run").verdict == "healthy"
    from_times_alone = Judgement("run", {})
    from_times_alone.take(enumerate([*steady(40), *back], 1))
    assert [f["title"] for f in from_times_alone.findings()] == [dict(r.body)["title"] for r in store.findings("run")]


@pytest.mark.parametrize("state", [State.FINISHED, State.LOST, State.QUEUED])
def test_runs_that_do_not_go_on_are_not_told(store: Store, clock: Any, watch: Any, state: State) -> None:
    watcher = watch()
    store.create_run("run", state=State.RUNNING)
    store.append("run", Batch("w", 1, steady(40)))
    store.set_state("run", state)
    watcher.notify("run")
    watcher.drain(WAIT)
    clock.pass_(9000)
    watcher.notify("run")
    watcher.drain(WAIT)
    assert rules(store, "run") == {} and store.run("run").state is state
    assert not store.timeline("run", ["clock"])


def test_silence_is_counted_from_when_this_server_began(store: Store, clock: Any, watch: Any) -> None:
    store.create_run("run", state=State.RUNNING)
    store.append("run", Batch("w", 1, steady(40)))
    first = watch()
    first.drain(WAIT)
    first.stop()
    clock.pass_(9000)  # no server: what the run sent meanwhile waits in its spool
    second = watch()
    second.drain(WAIT)
    assert rules(store, "run") == {}
    clock.pass_(901)
    second.notify("run")
    second.drain(WAIT)
    assert rules(store, "run") == {"stalled-run": "open"}
    second.stop()
    third = watch()
    third.drain(WAIT)
    clock.pass_(1000)
    third.notify("run")
    third.drain(WAIT)
    assert store.findings("run")[0].severity == "critical", "goes on from what was told before"


def test_an_alarm_wakes_the_watcher_by_itself(store: Store, hub: Hub) -> None:
    now = [0.0]
    silences = Silences(store, lambda: now[0])
    store.create_run("run", state=State.RUNNING)
    store.append("run", Batch("w", 1, steady(40)))
    judgement = Judgement("run", {})
    judgement.take(store.replay("run"))
    silences.mind("run", judgement)
    assert (silences.next_at(), silences.due(59.0), silences.due(61.0)) == (60.0, [], ["run"])
    now[0] = 100.0
    silences.mind("run", judgement)
    assert [entry.time for entry in store.timeline("run", ["clock"])] == [1078.0 + at for at in (60, 75, 95)]
    assert silences.next_at() == 120.0
    silences.forget("run")
    assert silences.next_at() is None
