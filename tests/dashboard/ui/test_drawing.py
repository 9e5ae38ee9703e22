"""Figures on demand: any chart of a run by its key, and a window at full fidelity with nothing hidden or doubled around it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from dashboard.records import FindingRecord, Run
from dashboard.ui import run_charts
from dashboard.ui.app import create_ui
from dashboard.ui.curves import Axis
from dashboard.ui.figures import View

POINTS, SPIKES = 20_000, (7, 9_910, 10_001, 19_998)

Draw = Callable[..., Any]


def _loss(step: int) -> float:
    return 50.0 if step in SPIKES else 2.0 + (step % 7) / 100


@pytest.fixture
def long_run(site: Any) -> Any:
    """One series of many points with spikes of a single step, logged twice a second."""
    events = [
        {"type": "metrics", "step": step, "time": 1e9 + step / 2, "loss": _loss(step)} for step in range(1, POINTS + 1)
    ]
    config = {"batch_size": 2, "accumulation_steps": 1, "context_length": 5}
    site.send("long", [{"type": "run", "project": "p", "name": "long", "config": config, "time": 1e9}])
    for start in range(0, POINTS, 5000):
        site.send("long", events[start : start + 5000])
    return site


@pytest.fixture
def draw(long_run: Any) -> Draw:
    client = create_ui(long_run.services).server.test_client()
    return lambda body, run_id="long": client.post(f"/charts/{run_id}", data=json.dumps(body))


def _line(answer: Any) -> list[tuple[float, float]]:
    trace = answer.json["figures"]["loss"]["data"][0]
    return list(zip(trace["x"], trace["y"], strict=True))


def test_the_whole_run_is_drawn_in_buckets_that_keep_every_spike(draw: Draw) -> None:
    answer = draw({"keys": ["loss"]})
    line = _line(answer)
    assert len(line) < 4_000
    assert [x for x, y in line if y == 50.0] == list(SPIKES)
    meta = answer.json["figures"]["loss"]["layout"]["meta"]
    assert meta["whole"] is False and meta["last"] == {"loss": POINTS}


@pytest.mark.parametrize(
    ("view", "per_step", "slack"), [("", 1, 0), ("?x=tokens", 10, 0), ("?x=time", 1 / 7200, 3 * POINTS / 1000)]
)
def test_a_window_holds_every_point_as_it_was_logged(draw: Draw, view: str, per_step: float, slack: float) -> None:
    """Also on the axes of tokens and time; there the window may be a bucket or so wider."""
    first, last = 9_500, 10_500
    line = _line(draw({"keys": ["loss"], "view": view, "window": [last * per_step, first * per_step]}))
    steps = [round(x / per_step) for x, _ in line]
    inside = [(step, y) for step, (_, y) in zip(steps, line, strict=True) if first <= step <= last]
    assert inside == [(step, _loss(step)) for step in range(first, last + 1)]
    # Around it nothing is hidden and nothing comes twice.
    assert [y for _, y in line].count(50.0) == len(SPIKES)
    assert steps == sorted(steps)
    assert view == "?x=time" or steps == sorted(set(steps))  # a bucket tells one time for all its points
    assert len(steps) < 7_000 + slack


def _tokens(step: int) -> int:
    """A batch that doubles at step 8,000, and holds another token in every third step."""
    return 100 * step + 100 * max(0, step - 8_000) + step // 3


def test_points_lie_at_their_own_tokens_and_a_window_of_tokens_is_one_of_their_steps(long_run: Any, draw: Draw) -> None:
    for start in range(0, POINTS, 5000):
        steps = range(start + 1, start + 5001)
        long_run.send("long", [{"type": "metrics", "step": step, "train/tokens": _tokens(step)} for step in steps])
    whole = _line(draw({"keys": ["loss"], "view": "?x=tokens"}))
    spikes = [x for x, y in whole if y == 50.0]
    # Of 20,000 counts as many as 10,000 rows hold are told; between two of them the odd token may be missed.
    assert spikes == pytest.approx([_tokens(step) for step in SPIKES], abs=1.0)
    first, last = 9_500, 10_500
    window = [_tokens(first), _tokens(last)]
    closer = [x for x, _ in _line(draw({"keys": ["loss"], "view": "?x=tokens", "window": window}))]
    assert [x for x in closer if window[0] <= x <= window[1]] == [_tokens(step) for step in range(first, last + 1)]


def test_a_wide_window_comes_in_finer_buckets(draw: Draw) -> None:
    whole, closer = _line(draw({"keys": ["loss"]})), _line(draw({"keys": ["loss"], "window": [2_000, 12_000]}))
    between = [[x for x, _ in line if 2_000 <= x <= 12_000] for line in (whole, closer)]
    assert len(between[1]) > 2 * len(between[0])
    assert [x for x, y in closer if y == 50.0] == list(SPIKES)


@pytest.mark.parametrize("window", [[-5e9, -1], [1e17, 1e299], [0, 0], [20_000, 9e15]])
def test_a_window_beyond_the_run_is_no_error(draw: Draw, window: list[float]) -> None:
    line = _line(draw({"keys": ["loss"], "window": window}))
    assert {x for x, y in line if y == 50.0} == set(SPIKES)


def test_several_charts_come_at_once_and_unknown_keys_are_left_out(long_run: Any, draw: Draw) -> None:
    long_run.send("long", [{"type": "metrics", "step": POINTS + 1, "<b>own</b>": 1.0}])
    figures = draw({"keys": ["loss", "other:<b>own</b>", "other:none", "speed"]}).json["figures"]
    assert list(figures) == ["loss", "other:<b>own</b>"]
    assert "<b>" not in figures["other:<b>own</b>"]["data"][0]["name"]
    assert figures["other:<b>own</b>"]["layout"]["meta"]["whole"] is True


@pytest.mark.parametrize(
    "body",
    [None, [], {}, {"keys": []}, {"keys": "loss"}, {"keys": [1]}, {"keys": ["loss"] * 25}, {"keys": ["loss"], "view": 3},
     {"keys": ["loss"], "window": [1]}, {"keys": ["loss"], "window": ["a", 2]}, {"keys": ["loss"], "window": [True, 2]},
     {"keys": ["loss"], "window": [0, 10**400]}, {"keys": ["loss"], "window": [0, float("nan")]}, {"keys": ["x" * 2**20]}],
)  # fmt: skip
def test_a_request_without_sense_is_refused_in_words(draw: Draw, body: Any) -> None:
    answer = draw(body)
    assert answer.status_code == 400
    assert "keys" in answer.json["detail"]


def test_a_run_that_is_not_there_is_not_found(draw: Draw) -> None:
    assert draw({"keys": ["loss"]}, run_id="gone").status_code == 404


def test_a_window_of_time_without_points_is_the_whole_run(site: Any) -> None:
    site.services.store.create_run("r", name="r", config={})
    run: Run = site.services.store.run("r")
    assert run_charts.steps_within(site.services, run, [], Axis("time"), (0.0, 5.0)) is None


def _found(rule: str, series: str) -> FindingRecord:
    body = {"evidence": [{"series": series, "window": [2, 9]}]}
    return FindingRecord(
        run_id="long", rule=rule, subject="", status="open", severity="warning", title=rule, first_step=2,
        detected_step=3, last_step=9, opened_at=0.0, resolved_at=None, body=body,
    )  # fmt: skip


def test_a_finding_shades_the_chart_that_shows_it_and_no_other(long_run: Any) -> None:
    run = long_run.services.store.run("long")
    found = [_found("plateau", "loss"), _found("slow-training", "tokens_per_second"), _found("poor-data", "data")]
    layer = run_charts.overlay(long_run.services, run, found, View())["loss"]
    assert [shape["type"] for shape in layer["shapes"]] == ["rect", "line", "line"]
    assert [note["text"][2:] for note in layer["annotations"]] == ["plateau", "slow training"]
