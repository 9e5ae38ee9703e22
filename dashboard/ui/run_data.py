"""What a run says of its data, compact: the text's numbers, what its tokens repeat, the issues. Text of others is shown as text. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from dash import html
from dash.development.base_component import Component

from dashboard.records import TimelineEntry
from dashboard.ui import format as fmt
from dashboard.ui import parts

ISSUES_SHOWN = 20


def data(told: Sequence[TimelineEntry]) -> list[Component]:
    """The newest of what was told; nothing for a run that told nothing."""
    if not told:
        return []
    facts = told[-1].data
    shown = [stat for stat in (*_text(facts), *_tokens(facts)) if stat is not None]
    issues = facts.get("issues")
    lines = [str(line) for line in issues[:ISSUES_SHOWN]] if isinstance(issues, list) else []
    since = f"from step {fmt.steps(told[-1].step)} on" if told[-1].step else None
    if not shown and not lines:
        return []
    listed = (
        html.Ul([html.Li(fmt.visible(line)) for line in lines], className="rw-quiet") if lines
        else html.P("No issues were found in its documents.", className="rw-quiet") if issues == [] else None
    )  # fmt: skip
    return [parts.card([html.Div(shown, className="rw-stats"), listed, _passage(facts)], title="Data", aside=since)]


def _text(facts: Mapping[str, Any]) -> list[Component | None]:
    copies = [
        f"{fmt.count(number)} {word}"
        for name, word in (("duplicates", "copies"), ("near_duplicates", "nearly copies"), ("empty", "empty"))
        if (number := _number(facts, name))
    ]
    return [
        _stat(facts, "documents", "Documents", fmt.count, ", ".join(copies) or None),
        _stat(facts, "characters", "Characters", fmt.count, _lengths(facts)),
        _stat(facts, "words", "Words", fmt.count, _mean(facts)),
        _stat(facts, "english", "Look English", _percent, "of the documents"),
        _stat(facts, "unreadable", "Unreadable", _percent, "of the characters"),
    ]


def _tokens(facts: Mapping[str, Any]) -> list[Component | None]:
    held_out, planned = _number(facts, "val_tokens"), _number(facts, "planned_tokens")
    train, places = _number(facts, "train_tokens"), _number(facts, "most_places")
    passes = f"planned {fmt.number(planned / train, 3)} times over" if planned is not None and train else None
    return [
        _stat(facts, "train_tokens", "Training tokens", fmt.count, passes),
        parts.stat("Validation tokens", fmt.count(held_out), "held out") if held_out is not None else None,
        _stat(facts, "distinct", "Distinct", _percent, "is left when all stands once"),
        _stat(facts, "repeated", "Repeated", _percent, f"up to {fmt.count(places)} times" if places else None),
        _stat(facts, "overlap", "Overlap", _percent, "of validation stands in training"),
    ]


def _stat(facts: Mapping[str, Any], name: str, label: str, say: Any, hint: str | None) -> Component | None:
    value = _number(facts, name)
    return parts.stat(label, say(value), hint) if value is not None else None


def _number(facts: Mapping[str, Any], name: str) -> float | None:
    """What the sender called that, if it is a number that can be shown."""
    value = facts.get(name)
    known = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if known and value is not None else None


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.0995 or not share else f"{100 * share:.2g} %"


def _lengths(facts: Mapping[str, Any]) -> str | None:
    shortest, longest = _number(facts, "shortest"), _number(facts, "longest")
    return None if shortest is None or longest is None else f"{fmt.count(shortest)} to {fmt.count(longest)} each"


def _mean(facts: Mapping[str, Any]) -> str | None:
    mean = _number(facts, "mean_words")
    return None if mean is None else f"{fmt.number(mean, 3)} in a document"


def _passage(facts: Mapping[str, Any]) -> Component | None:
    text, places = facts.get("most_text"), _number(facts, "most_places")
    if not isinstance(text, str) or not text or not places:
        return None
    return html.Details(
        [
            html.Summary(f"The passage that is repeated most stands at {fmt.count(places)} places"),
            html.Pre(fmt.visible(text[:300]), className="rw-sample-text"),
        ]
    )
