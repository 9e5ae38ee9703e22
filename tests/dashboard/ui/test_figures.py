"""Figures: lists only, nothing sent to a cloud, one trace that assets/live.js can continue for each series."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from dashboard.axes import TokenCounts
from dashboard.records import FindingRecord, Series
from dashboard.ui import charts, figures, overlays, theme
from dashboard.ui.curves import Axis

STEPS = np.arange(1, 101, dtype=np.int64)


def _series(name: str, values: Any) -> Series:
    last = np.asarray(values, dtype=np.float64)
    bad = (~np.isfinite(last)).astype(np.int64)
    finite = np.where(bad == 0, last, np.nan)
    return Series(name=name, step=STEPS, time=STEPS * 2.0, min=finite, max=finite, mean=finite, last=last,
                  count=np.ones_like(STEPS), nonfinite=bad, min_step=STEPS, max_step=STEPS)  # fmt: skip


def _loss(**view: Any) -> figures.Figure:
    chart = charts.loss_chart(["train/loss", "val/loss"])
    values = np.linspace(4.0, 2.0, 100)
    values[49] = math.nan
    return figures.draw(
        chart, {"train/loss": _series("train/loss", values)}, figures.View(**view), version="v1", large=True
    )


def _finding(rule: str = "plateau", first: int = 10, last: int = 20, **more: Any) -> FindingRecord:
    fields = {"run_id": "r", "rule": rule, "subject": "", "status": "open", "severity": "warning", "title": f"{rule} <b>",
              "first_step": first, "detected_step": last, "last_step": last, "opened_at": 0.0, "resolved_at": None, "body": {}}  # fmt: skip
    return FindingRecord(**(fields | more))


def _plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_plain(item) for item in value.values())
    if isinstance(value, list):
        return all(_plain(item) for item in value)
    return value is None or (isinstance(value, (str, int, float, bool)) and type(value) in (str, int, float, bool))


RAMP = TokenCounts("train/tokens", np.array([0.0, 2.0, 4.0, 5.0]), np.array([0.0, 20.0, 40.0, 80.0]), 40.0)
"""Ten tokens a step at first, and then forty."""


def test_live_points_are_given_the_counts_that_lie_on_no_straight_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def counts(given: TokenCounts) -> Any:
        return _loss(axis=Axis("tokens", counts=given))["layout"]["meta"]["axis"]["counts"]

    assert counts(RAMP) == {"series": "train/tokens", "steps": [0, 4, 5], "tokens": [0, 40, 80], "rate": 40}
    even = TokenCounts("", np.zeros(1), np.zeros(1), 8.0)
    assert counts(even) == {"series": "", "steps": [0], "tokens": [0], "rate": 8}
    monkeypatch.setattr(figures, "COUNTS_KEPT", 2)
    uneven = TokenCounts("n", np.arange(6.0), np.arange(6.0) ** 2, 9.0)
    assert counts(uneven)["steps"] == [0, 3, 4, 5]


@pytest.mark.parametrize(
    "view",
    [{}, {"half_life": 25.0}, {"log": True}, {"perplexity": True}, {"axis": Axis("tokens", counts=RAMP)}],
)
def test_plotly_takes_every_figure_and_it_holds_plain_values_only(view: dict[str, Any]) -> None:
    figure = _loss(**view)
    assert _plain(figure)
    json.dumps(figure, allow_nan=False)
    go.Figure(figure)


def test_nothing_is_ever_sent_to_a_cloud() -> None:
    assert figures.CONFIG["showSendToCloud"] is False
    assert figures.CONFIG["plotlyServerURL"] == ""


def test_smoothing_keeps_the_raw_line_in_full() -> None:
    raw = _loss()["data"][0]
    smoothed = _loss(half_life=50.0)["data"]
    assert smoothed[0]["y"] == raw["y"]
    assert smoothed[0]["opacity"] < 1.0
    assert [trace["meta"]["draws"] for trace in smoothed if trace["meta"]["series"] == "train/loss"] == [
        "raw",
        "marks",
        "smooth",
    ]


def test_a_nan_is_a_gap_and_a_cross_on_an_axis_that_zoom_leaves_alone() -> None:
    raw, marks = _loss()["data"][:2]
    assert raw["y"][49] is None
    assert (marks["x"], marks["text"], marks["yaxis"]) == ([50], ["NaN at step 50"], "y2")
    assert _loss()["layout"]["yaxis2"]["fixedrange"] is True


def test_an_empty_series_waits_for_its_first_live_point() -> None:
    figure = _loss()
    assert figure["layout"]["meta"]["last"] == {"train/loss": 100, "val/loss": -1}
    assert [trace["x"] for trace in figure["data"] if trace["meta"]["series"] == "val/loss"] == [[], []]


def test_zoom_is_kept_between_snapshots_of_one_view() -> None:
    assert _loss()["layout"]["uirevision"] == _loss(half_life=10.0)["layout"]["uirevision"]
    assert _loss()["layout"]["uirevision"] != _loss(log=True)["layout"]["uirevision"]


def test_the_clip_line_lies_on_the_gradient_chart() -> None:
    names = ["train/loss", "train/grad_norm", "my/metric"]
    gradient = next(chart for chart in charts.side_charts(names, {"grad_clip": 0.5}) if chart.key == "gradient")
    points = {"train/grad_norm": _series("train/grad_norm", np.ones(100))}
    layout = figures.draw(gradient, points, figures.View(), version="v")["layout"]
    assert layout["yaxis"]["type"] == "log"
    assert [shape["y0"] for shape in layout["shapes"]] == [0.5]
    assert layout["annotations"][0]["y"] == pytest.approx(math.log10(0.5))


def test_a_chart_without_points_shows_no_made_up_numbers() -> None:
    layout = figures.draw(charts.loss_chart([]), {}, figures.View(), version="v")["layout"]
    assert layout["meta"]["empty"] is True
    assert (layout["xaxis"]["visible"], layout["yaxis"]["visible"]) == (False, False)
    assert [note["text"] for note in layout["annotations"]] == ["no points yet"]
    assert _loss()["layout"]["meta"]["empty"] is False


def test_of_several_losses_the_one_that_is_judged_has_the_colour_and_a_perplexity_is_none() -> None:
    names = ["total_loss", "lm_loss", "eval_ppl", "val_bpb", "val_loss"]
    colors = charts.loss_chart(names).colors
    assert colors == {"total_loss": theme.LIMIT, "lm_loss": theme.TRAIN, "val_bpb": theme.LIMIT, "val_loss": theme.VALIDATION}  # fmt: skip
    assert charts.own_metrics(names) == ["eval_ppl"]
    assert not charts.has_loss(["ppl"])


def test_names_of_other_trainers_share_the_loss_chart_and_unknown_ones_get_their_own() -> None:
    names = ["loss", "eval_loss", "lr", "my/metric", "train/tokens"]
    assert list(charts.loss_chart(names).colors) == ["loss", "eval_loss"]
    assert [chart.key for chart in charts.side_charts(names, {})] == ["rate"]
    assert charts.own_metrics(names) == ["my/metric"]
    assert charts.has_loss(names) and charts.has_loss([]) and not charts.has_loss(["my/metric"])


def test_every_chart_is_found_again_by_its_key() -> None:
    names = ["train/loss", "train/grad_norm", "perf/step_seconds", "my/metric"]
    for chart in (charts.loss_chart(names), *charts.side_charts(names, {}), charts.single("my/metric")):
        assert charts.find(chart.key, names, {}) == chart
    assert charts.find("other:never/logged", names, {}) is None
    assert charts.find("nonsense", names, {}) is None


def test_metrics_are_grouped_by_what_their_names_share() -> None:
    names = [
        *(f"act/block{block}/unit{unit}" for block in range(2) for unit in range(4)),
        *(f"eval/{task}/{metric}" for task in ("arc", "piqa") for metric in ("acc", "f1")),
        *(f"layer.{layer}" for layer in range(3)), "probe_1", "probe_20", "reward", "kl", "lonely/one", "",
    ]  # fmt: skip
    found = charts.groups(names)
    assert {group: len(members) for group, members in found.items()} == {
        "act/block0": 4, "act/block1": 4, "eval": 4, "layer": 3, "probe": 2, "Other": 4,
    }  # fmt: skip
    assert sorted(name for members in found.values() for name in members) == sorted(names)
    assert charts.groups([]) == {}


def test_findings_are_windows_with_a_shape_and_a_word() -> None:
    found = [
        _finding("overfitting", severity="critical"),
        _finding("plateau", first=30, last=30),
        _finding("x", status="muted"),
    ]
    layer = overlays.windows(found, float)
    rectangles = [shape for shape in layer["shapes"] if shape["type"] == "rect"]
    assert [(shape["x0"], shape["x1"]) for shape in rectangles] == [(10.0, 20.0), (30.0, 30.0)]
    assert [note["text"] for note in layer["annotations"]] == ["⬣ overfitting", "▲ plateau"]
    assert all("<" not in note["hovertext"] for note in layer["annotations"])


def test_what_is_not_shaded_is_marked_where_it_began() -> None:
    found = [_finding("overfitting"), _finding("slow-training", first=30, last=40)]
    layer = overlays.windows(found, float, shaded=lambda finding: finding.rule == "overfitting")
    assert [(shape["type"], shape["x0"]) for shape in layer["shapes"]] == [
        ("rect", 10.0),
        ("line", 10.0),
        ("line", 30.0),
    ]
    assert len(layer["annotations"]) == 2


def test_the_best_validation_is_marked_on_either_scale() -> None:
    place = float
    assert overlays.best(40, 2.0, place, log=False)["annotations"][0]["y"] == 2.0
    assert overlays.best(40, 2.0, place, log=True)["annotations"][0]["y"] == pytest.approx(math.log10(2.0))
    assert overlays.best(40, 2.0, place, log=False)["annotations"][0]["ay"] < 0, "above: checkpoints stand below"
    for step, value in ((None, None), (3, math.nan), (3, -1.0)):
        assert overlays.best(step, value, place, log=True)["annotations"] == []


def test_overlays_are_taken_by_plotly() -> None:
    figure = _loss()
    layer = overlays.joined(
        overlays.windows([_finding()], float),
        overlays.checkpoints([50], float),
        overlays.best(40, 2.0, float, log=False),
    )
    figure["layout"] |= {"shapes": layer["shapes"], "annotations": layer["annotations"]}
    go.Figure(figure)


@pytest.mark.parametrize(
    ("values", "mode"), [([1e-3] * 100, "tozero"), ([1e-3] * 99 + [math.nan], "tozero"), (STEPS * 1e-5, None)]
)
def test_a_constant_is_drawn_where_it_is(values: Any, mode: str | None) -> None:
    """By itself plotly would lay the axis from one below it to one above it: a rate of 1e-3 would lie at 0."""
    chart = charts.single("train/learning_rate")
    figure = figures.draw(
        chart, {"train/learning_rate": _series("train/learning_rate", values)}, figures.View(), version="v1"
    )
    assert figure["layout"]["yaxis"].get("rangemode") == mode
