"""What scripts tell, on the pages: with level, step and time, as text, within bounds, beside what the rules found."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dashboard.records import TimelineEntry
from dashboard.ui import told
from dashboard.ui.pages import alerts


def _json(component: Any) -> str:
    return json.dumps(component.to_plotly_json(), default=lambda one: one.to_plotly_json(), ensure_ascii=False)


def _entry(**data: Any) -> TimelineEntry:
    return TimelineEntry(kind="alert", step=data.pop("step", None), time=data.pop("time", 1.5e9), data=data)


def test_nothing_told_shows_nothing() -> None:
    assert told.card([], 0.0) is None and told.line("r", []) is None


def test_a_card_says_title_text_level_step_and_age() -> None:
    said = _json(told.card([_entry(title="Half\nway", text="line 1\nline 2", level="info", step=1200)], 1.5e9 + 300))
    for words in ("Half way", "line 1\\nline 2", "Info", "step 1,200", "5 min ago", "told by the script"):
        assert words in said


@pytest.mark.parametrize(
    ("given", "shown"), [(None, "warning"), ("critical", "critical"), ("odd", "info"), (3, "info")]
)
def test_an_unknown_level_is_no_reason_to_fail(given: Any, shown: str) -> None:
    entry = _entry(title="\u202egnp.exe", level=given)
    assert (
        told.level(entry) == shown and told.title(entry) == "⟨U+202E⟩gnp.exe" and told.title(_entry()) == "(no title)"
    )


def test_one_line_names_the_newest_and_counts_the_rest() -> None:
    many = [_entry(title=f"T{number}") for number in range(told.SHOWN + 1)]
    assert "T0" in _json(told.line("r", many[:3])) and "and 2 more" in _json(told.line("r", many[:3]))
    assert "and many more" in _json(told.line("r", many)) and "Older ones" in _json(told.card(many, 0.0))


def test_the_alerts_page_shows_them_where_no_status_and_no_rule_is_asked_for(full_site: Any) -> None:
    full_site.send("healthy", [{"type": "alert", "title": "the disk fills up", "level": "critical", "time": 1e9}])

    def shown(**query: str) -> bool:
        return "the disk fills up" in _json(alerts.layout(full_site.services, query))

    assert shown() and shown(severity="critical") and shown(rule=told.KIND)
    assert not shown(severity="info") and not shown(status="waiting") and not shown(rule="overfitting")


def test_older_alerts_of_both_kinds_come_on_demand(full_site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts, "PAGE_SIZE", 3)
    for number in range(4):
        alert = {"type": "alert", "title": f"T{number}", "time": 4e9 + number, "level": "critical"}
        full_site.send("healthy", [alert])
    first = _json(alerts.layout(full_site.services, {"severity": "critical"}))
    assert [f"T{number}" in first for number in range(4)] == [False, True, True, True]
    assert "Show older" in first
    every = _json(alerts._body(full_site.services, "critical", "all", None, 500))
    assert "T0" in every and "rw-code-link" in every and "Show older" not in every
