"""The Data part: the numbers that a run told of its data, its issues, and nothing that was not told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dashboard.records import TimelineEntry
from dashboard.ui.app import create_ui
from dashboard.ui.run_data import data

TOLD: dict[str, Any] = {
    "documents": 6, "characters": 875, "words": 153, "mean_words": 25.5, "shortest": 0, "longest": 440, "empty": 1, "duplicates": 1,
    "near_duplicates": 0, "english": 0.667, "unreadable": 0.0, "train_tokens": 2000, "val_tokens": 300, "planned_tokens": 30_000,
    "distinct": 0.101, "repeated": 1.0, "most_places": 12, "most_text": "again <b>and</b> again", "overlap": 0.034,
    "issues": ["1 of 6 documents is a copy of another"],
}  # fmt: skip


def shown(*facts: dict[str, Any]) -> str:
    entries = [TimelineEntry(kind="data", step=step, time=1.0, data=told) for step, told in enumerate(facts)]
    return json.dumps([part.to_plotly_json() for part in data(entries)], default=lambda part: part.to_plotly_json())


@pytest.mark.parametrize(
    "words",
    ["875", "0 to 440 each", "25.5 in a document", "1 copies, 1 empty", "67 %", "10 %", "up to 12 times", "3.4 %",
     "planned 15.0 times over", "1 of 6 documents is a copy of another", "again <b>and</b> again"],
)  # fmt: skip
def test_what_was_told_is_shown(words: str) -> None:
    assert json.dumps(words)[1:-1] in shown(TOLD)
    assert "planned planned" not in shown(TOLD)


def test_the_newest_word_counts_and_says_since_when() -> None:
    assert "from step 1 on" in shown({"documents": 7}, TOLD) and "from step" not in shown(TOLD)


@pytest.mark.parametrize(
    "facts",
    [{}, {"documents": "many", "overlap": None, "english": True}, {"distinct": float("nan"), "characters": float("inf")}, {"issues": 5}],
)  # fmt: skip
def test_nothing_is_made_up(facts: dict[str, Any]) -> None:
    assert data([]) == [] and shown(facts) == "[]"


def test_a_clean_text_says_so() -> None:
    assert "No issues were found" in shown({"documents": 7, "issues": []})


def test_the_page_shows_it_and_writes_it_anew_when_the_diagnosis_changes(full_site: Any) -> None:
    full_site.send("healthy", [{"type": "data", "step": 0, **TOLD}])
    client = create_ui(full_site.services).server.test_client()
    wanted = client.get("/_dash-dependencies").json
    (spec,) = [one for one in wanted if one["output"] == "run-data.children"]
    values = {"run-tabs": "config", "run-id": "healthy", "run-live-findings": 1}
    body = {
        "output": spec["output"],
        "outputs": {"id": "run-data", "property": "children"},
        "inputs": [part | {"value": values[part["id"]]} for part in spec["inputs"]],
        "state": [part | {"value": values[part["id"]]} for part in spec["state"]],
        "changedPropIds": ["run-live-findings.data"],
    }
    assert "0 to 440 each" in client.post("/_dash-update-component", json=body).text
