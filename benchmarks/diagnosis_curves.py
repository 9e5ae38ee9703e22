"""Measures recall, false alarms, delay and cost of the rules on the synthetic runs of `benchmarks/made_up.py`.

    python -m benchmarks.diagnosis_curves [--runs N] [--seed S] [--show]

The real judgement is on real runs; this one is quick enough for every change.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.made_up import HEALTHY, SICK, Curve
from diagnostics import Engine


@dataclass(slots=True)
class Score:
    """What became of the runs of one kind."""

    runs: int = 0
    alarms: int = 0
    found: int = 0
    primary: int = 0
    delays: list[int] = field(default_factory=list)
    rules: Counter[str] = field(default_factory=Counter)


def judge(curve: Curve) -> tuple[list[Any], Engine]:
    """Findings of warning or critical on a curve, those to act on first."""
    engine = Engine(curve.config)
    for event in curve.events():
        engine.observe(event)
    return [finding for finding in engine.findings() if finding.severity != "info"], engine


def measure(runs: int, seed: int, show: bool = False) -> dict[str, Score]:
    """Scores by kind over `runs` healthy and as many sick curves."""
    scores: dict[str, Score] = {}
    for group in (HEALTHY, SICK):
        for number in range(runs):
            curve = group[number % len(group)](np.random.default_rng([seed, number, len(group)]))
            alarms, engine = judge(curve)
            score = scores.setdefault(curve.kind, Score())
            _count(score, curve, alarms)
            if engine.coverage().failed:
                raise AssertionError(f"{curve.kind} {number}: {engine.coverage().failed}")
            if show and bool(alarms) != bool(curve.expected):
                print(curve.kind, number, curve.steps.size, [(f.rule, f.title, f.detected_step) for f in alarms])
    return scores


def _count(score: Score, curve: Curve, alarms: list[Any]) -> None:
    score.runs += 1
    score.alarms += bool(alarms)
    score.rules.update({finding.rule for finding in alarms})
    right = [finding for finding in alarms if finding.rule in curve.expected]
    if right:
        score.found += 1
        score.primary += alarms[0].rule in curve.expected
        first = min(finding.detected_step for finding in right)
        score.delays.append(int(np.searchsorted(curve.steps, first)) - curve.onset)


def main() -> None:
    """Print one line a kind, then the totals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=330)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", action="store_true", help="list every false alarm and every miss")
    args = parser.parse_args()
    begun = time.perf_counter()
    scores = measure(args.runs, args.seed, args.show)
    print(f"{'kind':<18}{'runs':>6}{'alarms':>8}{'found':>7}{'primary':>9}{'delay p50':>11}{'p90':>6}  rules")
    for kind, score in scores.items():
        delays = sorted(score.delays) or [0]
        print(
            f"{kind:<18}{score.runs:>6}{score.alarms:>8}{score.found:>7}{score.primary:>9}{delays[len(delays) // 2]:>11}"
            f"{delays[len(delays) * 9 // 10]:>6}  {dict(score.rules.most_common(4))}"
        )
    healthy = [score for score in scores.values() if not score.delays]
    sick = [score for score in scores.values() if score.delays]
    print(f"false alarms {sum(s.alarms for s in healthy)} of {sum(s.runs for s in healthy)} healthy;", end=" ")
    print(
        f"found {sum(s.found for s in sick)} of {sum(s.runs for s in sick)} sick; {time.perf_counter() - begun:.1f} s"
    )


if __name__ == "__main__":
    main()
