"""The Compare page: what it says of runs that are well and sick, and what an address may ask of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dashboard.ui import compare
from dashboard.ui.app import create_ui
from dashboard.ui.pages import compare as page


def _shown(site: Any, **query: str) -> str:
    layout = page.layout(site.services, query)
    return json.dumps(layout.to_plotly_json(), default=lambda one: one.to_plotly_json(), ensure_ascii=False)


def test_a_sick_run_beside_a_well_one(full_site: Any) -> None:
    said = _shown(full_site, runs="healthy,overfit")
    assert "A is ahead: validation loss" in said and "times its uncertainty" in said
    assert "The training loss of B stays apart from that of A since step" in said
    assert '"data_limit_characters"' in said and "Mind that data_limit_characters differ" in said
    assert "Overfitting since" in said and "No rule finds anything wrong." in said


def test_a_run_that_is_not_finite_is_out_and_a_single_run_is_only_shown(full_site: Any) -> None:
    assert "The loss of B is not finite in the end." in _shown(full_site, runs="healthy,nan")
    alone = _shown(full_site, runs="healthy")
    assert "Which is ahead" not in alone and "python-docs minimal" in alone


def test_runs_that_are_not_there_are_said_and_markup_stays_text(full_site: Any) -> None:
    said = _shown(full_site, runs="healthy,<b>gone</b>,hostile")
    assert "There is no run <b>gone</b> any more." in said
    assert "\u202e" not in said.split("compare-graph")[0]
    assert "Choose the runs to compare" in _shown(full_site)


@pytest.mark.parametrize("x", ["step", "tokens", "time"])
def test_every_axis_draws_every_run(full_site: Any, x: str) -> None:
    entries = page._entries(full_site.services, ["healthy", "overfit"], "train_loss", x)
    drawn = compare.figure(entries, "Training loss", log=False, half_life=10.0)
    raw = [trace for trace in drawn["data"] if trace["meta"]["draws"] == "raw"]
    assert [len(trace["x"]) for trace in raw] == [400, 400]
    assert len({trace["line"]["dash"] for trace in raw}) == len({trace["line"]["color"] for trace in raw}) == 2


def test_metrics_are_compared_by_what_they_are() -> None:
    names = [["train/loss", "train/tokens", "mine"], ["loss", "eval_loss", "lr"]]
    assert list(compare.metrics(names)) == ["train_loss", "val_loss", "learning_rate", "mine"]
    assert compare.series_of("train_loss", names[1]) == "loss" and compare.series_of("mine", names[1]) is None


def _ask(site: Any, values: dict[str, Any], changed: str, shown: Any = None) -> Any:
    """What the page's callback answers, as the browser asks it."""
    client = create_ui(site.services).server.test_client()
    spec = next(one for one in client.get("/_dash-dependencies").json if "compare-body.children" in one["output"])
    values = {"compare-x.value": "step", "compare-smooth.value": "0", "compare-shown.data": shown} | values
    outputs = [
        dict(zip(("id", "property"), one.rsplit(".", 1), strict=True)) for one in spec["output"].strip(".").split("...")
    ]

    def filled(parts: list[Any]) -> list[Any]:
        return [part | {"value": values.get(f"{part['id']}.{part['property']}")} for part in parts]

    body = {
        "output": spec["output"], "outputs": outputs, "changedPropIds": [changed],
        "inputs": filled(spec["inputs"]), "state": filled(spec["state"]),
    }  # fmt: skip
    return client.post("/_dash-update-component", json=body).json["response"]


def test_a_choice_changes_what_is_below_it(full_site: Any) -> None:
    values = {
        "compare-runs.value": ["healthy", "nan", "gone"],
        "compare-metric.value": "no-such",
        "compare-log.checked": True,
    }
    answer = _ask(full_site, values, "compare-metric.value")
    assert answer["compare-metric"]["value"] == "train_loss" and answer["compare-controls"]["hidden"] is False
    assert {"label": "Gradient norm", "value": "grad_norm"} in answer["compare-metric"]["data"]


def test_a_message_of_another_run_changes_only_what_is_not_shown_yet(full_site: Any) -> None:
    values = {"compare-runs.value": ["nan"], "compare-metric.value": "train_loss", "compare-log.checked": False}
    shown = _ask(full_site, values, "compare-log.checked")["compare-shown"]["data"]
    assert shown[0] == [["nan", "finished"]]
    message = "compare-live-run.data"
    assert _ask(full_site, values, message, shown) == {}
    assert _ask(full_site, values | {"compare-log.checked": True}, message, shown) != {}
    assert _ask(full_site, values, message, [[["nan", "running"]], *shown[1:]]) != {}
