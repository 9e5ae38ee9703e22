"""Every fault of the soak in its short form: nothing lost, nothing doubled, and each run known to have ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.soak.scenarios import SCENARIOS, Outcome, Scenario

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_nothing_is_lost_and_nothing_doubled(scenario: Scenario, tmp_path: Path) -> None:
    outcome = scenario(tmp_path, 1.5)
    assert outcome.fine, outcome


@pytest.mark.parametrize(
    ("found", "lost", "doubled"),
    [([0, 1, 2], 0, 0), ([0, 2], 1, 0), ([0, 1, 1, 2], 0, 1), ([], 3, 0), ([2, 1, 0], 0, 0)],
)
def test_what_is_lost_or_doubled_is_counted(found: list[int], lost: int, doubled: int) -> None:
    """A soak that cannot fail says nothing."""
    outcome = Outcome()
    outcome.count(found, 3)
    assert (outcome.lost, outcome.doubled) == (lost, doubled)
    assert outcome.fine is (lost == doubled == 0)
    assert not Outcome().fine, "nothing logged is nothing shown"
