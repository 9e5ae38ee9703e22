"""A finding opens once, is updated, rests before it closes, and says how it ended."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from diagnostics import Finding, Severity
from diagnostics.finding import Evidence, Sighting
from diagnostics.life import PAST, Moment, Track, merge, rewound
from diagnostics.priority import arrange
from diagnostics.rule import Life, Rule
from diagnostics.verdict import verdict


def rule(**life: Any) -> Rule:
    return Rule(id="r", needs=(), blind="", severity=Severity.WARNING, look=lambda view: None, life=Life(**life))


def seen(severity: Severity = Severity.WARNING, first: int = 100) -> Sighting:
    proof = Evidence(series="loss", window=(first, first + 1), observed=1.0, limit=0.5, sentence="It rose.")
    return Sighting(
        severity=severity,
        title="Ill since step {since}",
        first_step=first,
        evidence=(proof,),
        causes=(),
        remedies=(),
        confidence=0.5,
    )


def play(sightings: list[Sighting | None], rules: Rule, start: int = 100) -> list[Track]:
    track, tracks = Track(), []
    for at, sighting in enumerate(sightings, start):
        track = merge(track, rules, sighting, Moment(step=at, points=at))
        tracks.append(track)
    return tracks


def test_it_opens_once_and_is_updated() -> None:
    tracks = play([seen(), seen(), seen(Severity.CRITICAL)], rule())
    last = tracks[-1].finding
    assert last is not None
    assert (last.detected_step, last.last_step, last.occurrences, last.status) == (100, 102, 1, "open")
    assert last.severity is Severity.CRITICAL
    assert last.title == "Ill since step 100"


def test_it_waits_for_as_many_looks_as_declared() -> None:
    tracks = play([seen(), None, seen(), seen()], rule(open_after_looks=2))
    assert [track.finding is not None for track in tracks] == [False, False, False, True]
    assert tracks[-1].finding is not None
    assert tracks[-1].finding.detected_step == 103


def test_it_rests_before_it_closes_and_does_not_flap() -> None:
    tracks = play([seen(), *[None] * 9, seen(), *[None] * 10], rule(close_after_points=10))
    statuses = [track.finding.status for track in tracks if track.finding]
    assert statuses[:-1] == ["open"] * 20
    last = tracks[-1].finding
    assert last is not None
    assert (last.status, last.severity, last.resolved_step) == ("resolved", Severity.INFO, 120)
    assert last.title == "Ill since step 100; over after 10 steps"


def test_severity_never_falls_while_it_is_open() -> None:
    tracks = play([seen(Severity.CRITICAL), seen(Severity.INFO)], rule())
    assert tracks[-1].finding is not None
    assert tracks[-1].finding.severity is Severity.CRITICAL


def test_what_never_resolves_stays_open() -> None:
    tracks = play([seen(), *[None] * 500], rule(resolved=None))
    assert tracks[-1].finding is not None
    assert tracks[-1].finding.status == "open"


def test_the_third_time_it_stays_a_warning() -> None:
    episode: list[Sighting | None] = [seen(), *[None] * 10]
    once, thrice = play(episode, rule(recurring_after=3)), play(episode * 3, rule(recurring_after=3))
    assert once[-1].finding is not None
    assert once[-1].finding.severity is Severity.INFO
    last = thrice[-1].finding
    assert last is not None
    assert (last.severity, last.occurrences) == (Severity.WARNING, 3)
    assert last.detected_step == 100
    assert last.title.endswith("3 times so far")
    assert last.title.count("over after") == 1


def test_a_rewind_ends_what_began_after_it() -> None:
    track = play([seen(first=100)], rule())[-1]
    gone, kept = rewound(track, 50).finding, rewound(track, 100).finding
    assert gone is not None
    assert kept is not None
    assert (gone.status, gone.severity, kept.status) == ("resolved", Severity.INFO, "open")
    assert "went back to step 50" in gone.title


def finding(name: str, severity: Severity, status: str = "open") -> Finding:
    return Finding(
        rule=name, subject="", status=status, severity=severity, title=name, first_step=1, detected_step=1, last_step=1,
        resolved_step=None, occurrences=1, evidence=(), causes=(), remedies=(), confidence=1.0,
    )  # fmt: skip


def test_the_stronger_finding_silences_what_it_explains() -> None:
    arranged = arrange(
        [
            finding("plateau", Severity.INFO),
            finding("loss-spike", Severity.WARNING),
            finding("non-finite-loss", Severity.CRITICAL),
        ]
    )
    assert [item.rule for item in arranged] == ["non-finite-loss", "loss-spike", "plateau"]
    assert [item.because is None for item in arranged] == [True, False, False]
    assert arranged[1].because == "non-finite-loss explains it: non-finite-loss"


def test_a_weaker_finding_explains_nothing_away() -> None:
    arranged = arrange([finding("divergence", Severity.INFO, "resolved"), finding("overfitting", Severity.CRITICAL)])
    assert [item.because for item in arranged] == [None, None]
    assert arranged[0].rule == "overfitting"


def test_what_was_over_before_does_not_explain() -> None:
    early = replace(finding("loss-not-decreasing", Severity.INFO, "resolved"), first_step=0, resolved_step=100)
    for first_step, explained in ((50, True), (100, True), (5000, False)):
        plateau = replace(finding("plateau", Severity.INFO), first_step=first_step)
        (found,) = (item for item in arrange([early, plateau]) if item.rule == "plateau")
        assert (found.because is not None) is explained, first_step


@pytest.mark.parametrize(
    ("severities", "word"),
    [
        ((), "healthy"),
        ((Severity.INFO,), "healthy"),
        ((Severity.INFO, Severity.WARNING), "warning"),
        ((Severity.CRITICAL,), "critical"),
    ],
)
def test_verdict_is_the_worst_that_nothing_explains(severities: tuple[Severity, ...], word: str) -> None:
    assert verdict(finding("plateau", severity) for severity in severities) == word


def test_each_return_doubles_the_hold() -> None:
    sick, calm = [seen()], [None]
    tracks = play([*sick, *calm * 12, *sick, *calm * 12, *sick], rule(close_after_points=10))
    last = tracks[-1].finding
    assert last is not None
    assert (last.occurrences, last.status) == (2, "open"), "the second time it would have taken 20 points to be over"


def test_where_returns_are_counted_the_hold_grows_once_they_are_enough() -> None:
    bout: list[Sighting | None] = [seen(), *[None] * 12]
    tracks = play(bout * 6, rule(close_after_points=10, recurring_after=3))
    assert tracks[-1].finding is not None
    assert tracks[-1].finding.occurrences == 4


def test_when_it_was_on_is_remembered_for_those_who_look_for_a_good_checkpoint() -> None:
    once = [seen(), seen(), *[None] * 3]
    *_, over = play(once, rule(close_after_points=2))
    assert over.sick == ((100, 101),)
    again = merge(over, rule(), seen(first=110), Moment(step=112, points=112))
    assert again.sick == ((100, 101), (111, math.inf)), "until it is over, and its onset is where it was first seen"
    assert rewound(again, 105).sick == ((100, 101),) and rewound(again, 100).sick == ((100, 100),)
    assert rewound(again, 99).sick == (), "these steps are trained anew"
    for time in range(40):
        track = merge(again, rule(close_after_points=2), None, Moment(step=200 + 9 * time, points=300 + 300 * time))
        again = merge(track, rule(), seen(first=203 + 9 * time), Moment(step=204 + 9 * time, points=310 + 300 * time))
    assert len(again.past) == PAST
