"""Judge the recorded runs of one half and print recall, right causes, delay and false alarms as Markdown.

    python -m benchmarks.zoo.score [--half tune|test|all] [--family NAME] [--runs] [--folder DIR]

Run it from the repository's root. Thresholds may be chosen on the tune half alone; what is published comes from the test
half. A log whose plan has changed since it was recorded is refused.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.zoo.judging import Mark, judge
from benchmarks.zoo.spec import cases
from benchmarks.zoo.storage import LOGS, load, recorded, stale
from benchmarks.zoo.tables import report


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables; 0, or 2 when there is nothing to judge or a log does not belong to its plan."""
    args = _parser().parse_args(argv)
    planned = [case for case in cases() if args.half in ("all", case.half) and args.family in ("", case.family)]
    chosen = recorded(planned, args.folder)
    odd = [case.name for case in stale(chosen, args.folder)]
    if odd or not chosen:
        why = f"{', '.join(odd[:5])}: recorded under another plan" if odd else "no recorded run is chosen"
        print(f"{why}; record again with python -m benchmarks.zoo.record", file=sys.stderr)
        return 2
    marks = [judge(case, load(case, args.folder)) for case in chosen]
    print(f"{len(chosen)} of the {len(planned)} planned runs are recorded (half: {args.half}).\n")
    print(report(marks), end="")
    if args.runs:
        print("\n" + "\n".join(_line(mark) for mark in marks))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Judge the zoo's recorded runs.")
    parser.add_argument("--half", choices=("tune", "test", "all"), default="test", help="which half to judge")
    parser.add_argument("--family", default="", metavar="NAME", help="judge this family alone")
    parser.add_argument("--runs", action="store_true", help="say of each run what was said")
    parser.add_argument("--folder", type=Path, default=LOGS, help="where the logs lie")
    return parser


def _line(mark: Mark) -> str:
    kind = "found" if mark.found else "MISSED" if mark.case.sick else "ALARM" if mark.alarmed else "silent"
    said = ", ".join(f"{rule} after {delay}" for rule, delay in mark.said.items()) or "nothing"
    return f"{kind:7} {mark.case.name:28} {mark.case.half:5} {said}"


if __name__ == "__main__":
    sys.exit(main())
