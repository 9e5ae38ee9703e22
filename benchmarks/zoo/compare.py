"""Runwell beside other tools, on the same recorded runs: one table.

    python -m benchmarks.zoo.compare [--half tune|test|earlier] [--peers-python PATH] [--folder DIR]

Run it from the repository's root. `--peers-python` is the interpreter of an environment that has `trainproof` and
`training-doctor`; without it they are left out, and the table says so. How each is asked and scored: `docs/diagnosis.md`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.zoo import rivals
from benchmarks.zoo.judging import Mark, judge
from benchmarks.zoo.score import ready
from benchmarks.zoo.spec import cases
from benchmarks.zoo.storage import LOGS, load, outcomes
from benchmarks.zoo.tables import NOTHING, labelled, share

WHOLE = ("trainproof",)
"""Tools that judge finished logs: a delay would mean nothing."""


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; 0, or 2 when there is nothing to judge or the peers cannot be asked."""
    args = _parser().parse_args(argv)
    chosen = ready(cases(args.half), args.folder)
    if chosen is None:
        return 2
    ended = outcomes(chosen, args.folder)
    logs = {case.name: load(case, args.folder) for case in chosen}
    said: dict[str, Mapping[str, rivals.Said]] = {
        name: {run: rule(log) for run, log in logs.items()} for name, rule in BASELINES.items()
    }
    if args.peers_python:
        try:
            said = {**rivals.ask_peers(args.peers_python, logs.items()), **said}
        except rivals.PeerError as error:
            print(f"trainproof and training-doctor: {error}", file=sys.stderr)
            return 2
    marks = {"Runwell": [judge(case, logs[case.name], ended.get(case.name)) for case in chosen]}
    for name, words in said.items():
        marks[name] = [rivals.mark(case, logs[case.name], words[case.name], ended.get(case.name)) for case in chosen]
    print(f"{len(chosen)} recorded runs (half: {args.half}).\n\n{table(marks)}")
    if not args.peers_python:
        print("\ntrainproof and training-doctor were not asked: no --peers-python was given.")
    return 0


BASELINES = {"SageMaker Debugger rules": rivals.sagemaker, "Lightning EarlyStopping, SpikeDetection": rivals.lightning}


def table(judges: Mapping[str, Sequence[Mark]]) -> str:
    """A line a tool: strict recall, any alarm on a sick run, the first word right, false alarms, delay."""
    lines = [
        "| tool | sick runs found for a right reason | any alarm on a sick run | first word right, of the found | false alarms | of them fine-tunes "
        "| alarms on harmless runs | delay, points (median, worst) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, marks in judges.items():
        sick, healthy, harmless = labelled(marks, "sick"), labelled(marks, "healthy"), labelled(marks, "harmless")
        found = [mark for mark in sick if mark.found]
        tuned = [mark for mark in healthy if mark.case.start in ("finetune", "continued")]
        delays = [mark.delay for mark in found if mark.delay is not None]
        timed = bool(delays) and name not in WHOLE
        delay = f"{statistics.median(delays):g}, {max(delays)}" if timed else NOTHING
        cells = [
            share(len(found), len(sick)),
            _spoke(sick),
            share(sum(mark.is_right(_first_word(mark)) for mark in found), len(found)),
        ]
        cells += [_spoke(healthy), _spoke(tuned), _spoke(harmless), delay]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _first_word(mark: Mark) -> str:
    return min(mark.said, key=lambda word: mark.said[word].step)


def _spoke(marks: Sequence[Mark]) -> str:
    return share(sum(mark.spoke for mark in marks), len(marks))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Judge the zoo's recorded runs by Runwell and by other tools.")
    parser.add_argument("--half", choices=("tune", "test", "earlier"), default="tune", help="which half to judge")
    parser.add_argument(
        "--peers-python", type=Path, metavar="PATH", help="an interpreter that has trainproof and training-doctor"
    )
    parser.add_argument("--folder", type=Path, default=LOGS, help="where the logs lie")
    return parser


if __name__ == "__main__":
    sys.exit(main())
