"""`stalled-run`: silences told by times in the data, live or afterwards; evaluations, resumes and odd clocks stay silent."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diagnostics import Engine, Finding
from diagnostics.silence import MOMENTS, SilenceLog

Event = dict[str, Any]
T0 = 1_700_000_000.0


def points(times: Iterable[float], first: int = 0, evaluate: int = 10) -> list[Event]:
    """A point a time, with an evaluation every `evaluate` steps."""
    found = []
    for step, time in enumerate(times, first):
        found.append({"type": "metrics", "step": step, "time": T0 + time, "train/loss": 4 - step / 1000})
        if evaluate and step % evaluate == 0:
            found.append({"type": "metrics", "step": step, "time": T0 + time + 0.1, "val/loss": 4.1 - step / 1000})
    return found


def clock(*times: float) -> list[Event]:
    return [{"type": "clock", "time": T0 + time} for time in times]


def slow_evaluations(*seconds: float) -> list[Event]:
    """Ten steps of two seconds, an evaluation that takes so long, and again; the last length is that of all that follow."""
    found, time = [{"type": "metrics", "step": 0, "time": T0, "val/loss": 5.0}], 0.0
    for step in range(1, 90):
        time += 2.0
        found.append({"type": "metrics", "step": step, "time": T0 + time, "train/loss": 4.0})
        if step % 10 == 0:
            time += seconds[min(step // 10, len(seconds)) - 1]
            found.append({"type": "metrics", "step": step, "time": T0 + time, "val/loss": 4.1})
    return found


def stalls(events: Iterable[Mapping[str, Any]]) -> list[Finding]:
    engine = Engine()
    for event in events:
        engine.observe(event)
    assert engine.coverage().failed == {}
    return [finding for finding in engine.findings() if finding.rule == "stalled-run"]


STEADY = [2.0 * at for at in range(100)]


def test_an_hour_once_is_found_and_over_when_points_come_again() -> None:
    before, after = points(STEADY), points([198 + 3600 + 2 * at for at in range(50)], first=100)
    (found,) = stalls([*before, *clock(198 + 3599)])
    assert (found.severity, found.status, found.detected_step, found.first_step) == ("critical", "open", 99, 99)
    (over,) = stalls([*before, after[0]])
    assert (over.severity, over.status, over.detected_step, over.resolved_step) == ("info", "resolved", 99, 99)
    assert over.title == "Stalled at step 99: stood still for 60 minutes; over: points came again"


@pytest.mark.parametrize(("silent", "severity"), [(310, "warning"), (1790, "warning"), (1801, "critical")])
def test_a_live_run_is_told_while_nothing_comes(silent: float, severity: str) -> None:
    (found,) = stalls([*points(STEADY), *clock(198 + silent)])
    assert (found.severity, found.status, found.detected_step) == (severity, "open", 99)
    assert "nothing for" in found.title


def test_a_second_stall_reopens_it() -> None:
    times = [*STEADY, *(5000 + 2 * at for at in range(30)), *(20_000 + 2 * at for at in range(30))]
    (found,) = stalls(points(times))
    assert found.occurrences == 2 and found.title.endswith("; over: points came again, 2 times so far")


def test_the_checkpoint_before_is_offered_and_a_crash_explains_it() -> None:
    saved = {"type": "checkpoint", "step": 90, "path": "x", "time": T0 + 181.0}
    events = [*points(STEADY[:95]), saved, *points(STEADY[95:], first=95), *clock(2500)]
    (found,) = stalls(events)
    assert [remedy.checkpoint for remedy in found.remedies] == [None, 90, None]
    dead = {"type": "state", "state": "crashed", "time": T0 + 2600, "reason": "killed by SIGKILL"}
    (explained,) = stalls([*events, dead])
    assert explained.because is not None and explained.because.startswith("crashed-run explains it")


@pytest.mark.parametrize(
    ("name", "events"),
    [
        ("a pause of four minutes", [*points(STEADY), *clock(198 + 240)]),
        ("steps of ten minutes each", points([600.0 * at for at in range(40)])),
        ("silent for five of its own intervals", [*points([100.0 * at for at in range(40)]), *clock(3900 + 900)]),
        ("evaluations that take eight minutes", slow_evaluations(480)),
        ("evaluations that take an hour, once known", slow_evaluations(800, 1500, 2900)),
        ("a first checkpoint that takes long", [*points(STEADY, evaluate=0), *clock(198 + 890)]),
        ("a run that has ended", [*points(STEADY), {"type": "state", "state": "finished", "time": T0 + 199}, *clock(9000)]),
        ("too few points to know its pace", [*points(STEADY[:9]), *clock(9000)]),
        ("a rewind the next day", [*points(STEADY), {"type": "rewind", "step": 50, "time": T0 + 90_000}, *points([90_000 + at for at in range(60)], first=51)]),
        ("a resume by a new process", [*points(STEADY), {"type": "run", "time": T0 + 50_000}, *points([50_000.0 + at for at in range(60)], first=100)]),
        ("a crash and a resume", [*points(STEADY), {"type": "state", "state": "crashed", "time": T0 + 200}, *points([50_000.0 + at for at in range(60)], first=100)]),
        ("another run appended to the file", [*points(STEADY), *points([50_000.0 + at for at in range(60)])]),
        ("a clock that was set back", [*points(STEADY), *points([at - 7200.0 for at in range(60)], first=100)]),
        ("durations of steps for a clock", points([random.Random(at).uniform(300, 500) + 60_000 * (at % 17 == 16) for at in range(200)])),
        ("no times", [{"type": "metrics", "step": step, "train/loss": 4.0} for step in range(100)]),
        ("times that are no numbers", [{"type": "metrics", "step": step, "train/loss": 4.0, "time": "NaN"} for step in range(100)]),
        ("a clock before the first point", [*clock(1.0, 9e8), *points(STEADY)]),
    ],
)  # fmt: skip
def test_silences_that_are_none_of_its_business(name: str, events: list[Event]) -> None:
    assert stalls(events) == [], name


def test_coverage_says_why_it_could_not_look() -> None:
    engine = Engine()
    engine.observe({"type": "metrics", "step": 1, "train/loss": 4.0})
    assert engine.coverage().skipped["stalled-run"].startswith("no times in the log: ")
    for event in points([(at * 7919) % 1000 for at in range(50)]):
        engine.observe(event)
    assert engine.coverage().skipped["stalled-run"].startswith("the times in the log go back and forth: ")
    assert engine.next_moment is None


def test_ranks_whose_times_interleave_are_one_run() -> None:
    times = [base + late for base in STEADY for late in (0.0, 0.7, -0.4)]
    rows = [{"type": "metrics", "step": at // 3, "time": T0 + time, "loss": 3.0} for at, time in enumerate(times)]
    assert stalls(rows) == []
    (found,) = stalls([*rows, *clock(198 + 2000)])
    assert found.severity == "critical"


def test_the_next_moment_is_asked_for_only_when_it_can_tell_something() -> None:
    log = SilenceLog()
    assert log.next_moment is None
    for event in points(STEADY, evaluate=0):
        list(log.hear("metrics", event["time"], event["step"]))
    assert log.next_moment == (T0 + 198, T0 + 198 + 60)
    for at, moment in enumerate(MOMENTS):
        assert log.next_moment == (T0 + 198 + (MOMENTS[at - 1] if at else 0), T0 + 198 + moment)
        list(log.hear("clock", T0 + 198 + moment, 0))
    assert log.next_moment is None, "after a day nothing new can be learned"


@settings(deadline=None, max_examples=60)
@given(
    gaps=st.lists(st.sampled_from([0.5, 1.0, 2.0, 30.0, 200.0, 400.0, 2000.0, 9000.0]), min_size=15, max_size=60),
    odd=st.lists(st.sampled_from(["sample", "checkpoint", "log", "rewind", ""]), min_size=60, max_size=60),
)
def test_a_replay_without_clock_events_finds_what_the_live_run_found(gaps: Sequence[float], odd: Sequence[str]) -> None:
    log: list[Event] = []
    time, step = 0.0, 0
    for gap, kind in zip(gaps, odd, strict=False):
        time, step = time + gap, step + 1
        log.append({"type": "metrics", "step": step, "time": T0 + time, "train/loss": 3.0})
        if kind:
            log.append({"type": kind, "step": step, "time": T0 + time + 0.01, "text": "x", "path": "x"})
    live, replay = Engine(), Engine()
    for event in log:
        moment = live.next_moment
        # The watcher's part: as long as nothing comes, it says so at each moment that the engine asks for.
        while (
            moment is not None and event["type"] != "rewind" and event["type"] != "log" and moment[1] <= event["time"]
        ):
            live.observe({"type": "clock", "time": moment[1]})
            moment = live.next_moment
        live.observe(event)
        replay.observe(event)
        assert [f.to_mapping() for f in live.findings()] == [f.to_mapping() for f in replay.findings()]
