"""Judge the recorded runs of one half and print the bars, recall, right causes, delay and false alarms as Markdown.

    python -m benchmarks.zoo.score [--half tune|test|earlier|all] [--family NAME] [--runs]
        [--losses-alone] [--folder DIR]

Run it from the repository's root. Thresholds are chosen on the tune half alone, which is the default; the test half is judged
when the rules are settled, and not looked at before. A log whose plan has changed since it was recorded is refused.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.zoo.bars import bars
from benchmarks.zoo.judging import Mark, judge, losses_alone
from benchmarks.zoo.spec import Case, cases
from benchmarks.zoo.storage import LOGS, load, outcomes, recorded, stale
from benchmarks.zoo.tables import report


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables; 0, or 2 when there is nothing to judge or a log does not belong to its plan."""
    args = _parser().parse_args(argv)
    planned = [case for case in cases(args.half) if args.family in ("", case.family)]
    chosen = ready(planned, args.folder)
    if chosen is None:
        return 2
    ended = outcomes(chosen, args.folder)
    shown = losses_alone if args.losses_alone else list
    marks = [judge(case, shown(load(case, args.folder)), ended.get(case.name)) for case in chosen]
    alone = [case.name for case in chosen if case.sick and case.name not in ended]
    print(f"{len(chosen)} of the {len(planned)} planned runs are recorded (half: {args.half}).")
    if alone:
        print(f"Without a recorded twin, and counted as harmed: {len(alone)}.")
    print(f"\n{bars(marks)}\n\n{report(marks)}", end="")
    if args.runs:
        print("\n" + "\n".join(_line(mark) for mark in marks))
    return 0


def ready(planned: Sequence[Case], folder: Path) -> list[Case] | None:
    """Those of the cases that are recorded; None, with the reason on standard error, when they cannot be judged."""
    chosen = recorded(planned, folder)
    odd = [case.name for case in stale(chosen, folder)]
    if odd or not chosen:
        why = f"{', '.join(odd[:5])}: recorded under another plan" if odd else "no recorded run is chosen"
        print(f"{why}; record again with python -m benchmarks.zoo.record", file=sys.stderr)
        return None
    return chosen


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Judge the zoo's recorded runs.")
    parser.add_argument(
        "--half", choices=("tune", "test", "earlier", "all"), default="tune", help="which half to judge"
    )
    parser.add_argument("--family", default="", metavar="NAME", help="judge this family alone")
    parser.add_argument("--runs", action="store_true", help="say of each run what was said")
    parser.add_argument("--losses-alone", action="store_true", help="show the rules nothing but the loss columns")
    parser.add_argument("--folder", type=Path, default=LOGS, help="where the logs lie")
    return parser


def _line(mark: Mark) -> str:
    kind = {"sick": "found" if mark.found else "MISSED", "healthy": "ALARM" if mark.spoke else "silent"}
    said = ", ".join(f"{rule} after {word.points}" for rule, word in mark.said.items()) or "nothing"
    return f"{kind.get(mark.label, mark.label):8} {mark.case.name:28} {said}"


if __name__ == "__main__":
    sys.exit(main())
