"""The SDK fuzzed: whatever a script hands over, nothing is raised, the sound part is kept, and what is written can be read."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import runwell
from runwell.notice import Notices
from runwell.run import Run
from runwell.wire import dumps, validate_event
from tests.logged import stored


class Hostile:
    """Raises whatever is asked of it."""

    def __float__(self) -> float:
        raise MemoryError("no")

    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__

    def __getattr__(self, name: str) -> Any:
        raise ValueError(name)


class Liar:
    """Says that it has one element and hands over something else."""

    shape = (1,)

    def item(self) -> Any:
        return self


MONSTERS = [
    10**400, -(10**5000), 2**63, Hostile(), Liar(), object, float, "x" * 2**20, "\ud800", "NaN", b"\xff", "new\nline", "nul\0",
    "a/b", "it's", 'quo"ted', "😀" * 300, "", "type", "step", math.nan,
]  # fmt: skip
"""Chosen by number: the generator shows what it draws from, and some of these cannot be shown."""
MONSTER = st.integers(0, len(MONSTERS) - 1).map(lambda number: MONSTERS[number])
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.complex_numbers() | st.text() | st.binary() | MONSTER
)
KEYS = st.text() | st.integers() | st.floats() | st.none() | MONSTER
ANYTHING = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3))
VALUES = st.dictionaries(KEYS, ANYTHING, max_size=6)

fuzz = settings(
    max_examples=150,
    deadline=None,
    database=None,
    derandomize=True,
    phases=(Phase.generate,),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.large_base_example],
)


def test_whatever_is_logged_nothing_is_raised_and_the_sound_part_is_kept(run: Run) -> None:
    logged = 0

    @fuzz
    @given(values=VALUES, step=st.none() | ANYTHING)
    def log(values: dict[Any, Any], step: Any) -> None:
        nonlocal logged
        run.log(values, step)  # type: ignore[arg-type]
        run.log({**values, "sound": 1.5}, step=logged)
        logged += 1

    log()
    sound = [event["step"] for event in stored(run) if event.get("sound") == 1.5]
    assert sound == list(range(logged)), "what is sound is kept whatever stands beside it"


def test_whatever_else_is_reported_nothing_is_raised(run: Run) -> None:
    @fuzz
    @given(
        first=ANYTHING,
        second=ANYTHING,
        step=st.none() | ANYTHING,
        measures=st.dictionaries(st.text(), ANYTHING, max_size=3),
    )
    def report(first: Any, second: Any, step: Any, measures: dict[str, Any]) -> None:
        run.sample(
            first,
            second,
            step,
            **{name: value for name, value in measures.items() if name not in ("prompt", "text", "step")},
        )
        run.alert(first, second, second, step)
        run.checkpoint(first, step, second, second)
        run.output(first, second)
        run.update_config(first)
        run.data(first, step)
        run.rewind(step)
        run.acknowledge(first, second, second, step)

    report()
    kinds = {event["type"] for event in stored(run)}
    assert {"run", "sample", "alert", "log", "config", "rewind"} <= kinds


def test_whatever_a_run_is_described_with_it_begins(home: Path) -> None:
    @settings(fuzz, max_examples=25)
    @given(project=ANYTHING, name=ANYTHING, config=ANYTHING, tags=ANYTHING)
    def begin(project: Any, name: Any, config: Any, tags: Any) -> None:
        run = runwell.init(project, name, config, tags)
        event, *_ = stored(run)
        assert event["type"] == "run" and validate_event(json.loads(dumps(event)))
        run.finish(timeout=0)

    begin()


def test_notices_do_not_keep_what_they_spoke_of() -> None:
    say = Notices()
    for number in range(2000):
        say(f"metric {number} " + "x" * 2**20, "said")
    assert sum(map(len, say._said)) < 2**20
