"""Numbers, durations and untrusted text in words."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.ui import format as fmt


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (0.0, "0"), (3.14159, "3.142"), (-2.5, "−2.500"), (1234.5, "1,234"), (1e-5, "1e−5"), (2.5e7, "2.5e7"),
     (math.nan, "NaN"), (math.inf, "+Inf"), (-math.inf, "−Inf")],
)  # fmt: skip
def test_number(value: float | None, shown: str) -> None:
    assert fmt.number(value) == shown


@pytest.mark.parametrize("shown_by", [fmt.number, fmt.loss, fmt.count])
@pytest.mark.parametrize(("value", "word"), [(math.nan, "NaN"), (math.inf, "+Inf"), (-math.inf, "−Inf")])
def test_non_finite_numbers_are_words_everywhere(shown_by: object, value: float, word: str) -> None:
    assert callable(shown_by)
    assert shown_by(value) == word


@given(st.floats())
def test_every_number_can_be_shown(value: float) -> None:
    for shown_by in (fmt.number, fmt.loss, fmt.count):
        assert shown_by(value).strip()


@pytest.mark.parametrize(("value", "shown"), [(9999, "9,999"), (12_345, "12.3k"), (1_310_000, "1.31M"), (4e9, "4B")])
def test_count(value: float, shown: str) -> None:
    assert fmt.count(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(3.21, "3.2 s"), (45, "45 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (273_600, "3 d 4 h"), (math.nan, "–"), (-1, "–")],
)  # fmt: skip
def test_duration(seconds: float, shown: str) -> None:
    assert fmt.duration(seconds) == shown


def test_age_never_lies_in_the_future() -> None:
    assert fmt.age(1000.0, 990.0) == "just now"
    assert fmt.age(0.0, 7300.0) == "2 h ago"
    assert fmt.age(None, 1.0) == "–"


def test_direction_changes_and_control_characters_are_made_visible() -> None:
    assert fmt.visible("\u202egnp.exe\x07\x1b[31m") == "⟨U+202E⟩gnp.exe⟨U+0007⟩⟨U+001B⟩[31m"
    assert fmt.visible("line\n\ttab 👩\u200d🔬 naïve") == "line\n\ttab 👩\u200d🔬 naïve"


def test_plot_labels_lose_html_and_templates() -> None:
    shown = fmt.for_plot("<b>%{x}</b> & more")
    assert "<" not in shown and "%{" not in shown
    assert shown.endswith("&amp; more")


def test_settings_read_as_they_are_typed() -> None:
    assert [fmt.setting(value) for value in (True, 1e-05, math.nan, None, [1, 2.5], {"a": 1})] == [
        "true", "1e-05", "NaN", "–", "1, 2.5", "a: 1",
    ]  # fmt: skip
