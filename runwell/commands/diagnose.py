"""`runwell diagnose FILE…`: judge run logs of any trainer, without a server.

Exit status: 0 healthy, 1 warning, 2 critical (the worst of all files), 3 something could not be read.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from runwell.commands.judging import STATUS, UNREADABLE, BadArgument, Judging, add_flags, doubts, read_flags, unjudged
from runwell.commands.terminal import terminal_of

if TYPE_CHECKING:
    from diagnostics.report import Report
    from runwell.apart import OneRun


PRINTED = (".log", ".txt", ".out", ".err")

MAX_RUNS = 50
"""Runs of one table that are judged without being asked for by name."""


def add_parser(subparsers: Any) -> None:
    """Flags of `runwell diagnose`."""
    parser = subparsers.add_parser(
        "diagnose",
        help="judge run logs of any trainer",
        description="Judge run logs of any trainer: JSON lines, CSV, trainer_state.json, TensorBoard event files; "
        "packed with gzip or not; a folder stands for the logs in it, - for standard input.",
        epilog="exit status: 0 healthy, 1 warning, 2 critical (the worst of all files), 3 could not read",
    )
    parser.add_argument("files", metavar="FILE", nargs="+", help="a run log or a folder; - reads standard input")
    parser.add_argument(
        "--run", dest="only", metavar="NAME", default="", help="of a table of several runs, judge this one alone"
    )
    parser.add_argument("--format", choices=("text", "json", "markdown"), default="text")
    add_flags(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Judge every file and print one report each."""
    try:
        judging = read_flags(args)
    except BadArgument as error:
        print(f"runwell diagnose: {error}", file=sys.stderr)
        return UNREADABLE
    with _rare_collections():
        results = [result for file in args.files for result in _judge_all(file, judging, args.only)]
    _print(results, args.format)
    return max(UNREADABLE if isinstance(result, Unread) else STATUS[result.verdict] for result in results)


@contextlib.contextmanager
def _rare_collections() -> Iterator[None]:
    """Let Python's collector not run for every few hundred rows: they hold no cycles and are gone with their block."""
    before = gc.get_threshold()
    gc.set_threshold(20_000, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


class Unread:
    """A file that could not be read, and why."""

    def __init__(self, source: str, why: str) -> None:
        self.source, self.why = source, why

    def to_mapping(self) -> dict[str, Any]:
        """Of the same shape as a report, so that one reader serves both."""
        from diagnostics.reading import NOTHING

        coverage: dict[str, Any] = {"ran": [], "skipped": {}, "failed": {}}
        told = {"source": self.source, "verdict": "unreadable", "error": self.why, "findings": [], "coverage": coverage}
        return told | {"read": NOTHING.to_mapping()}


def _judge_all(file: str, judging: Judging, only: str) -> list[Report | Unread]:
    """The reports on one argument: on itself, or on the logs in it."""
    from runwell.logfolder import find_logs

    if file == "-" or not Path(file).is_dir():
        return _judge_runs(file, judging, only)
    try:
        logs = [str(path) for path in find_logs(Path(file))]
    except OSError as error:
        return [Unread(file, f"{file} cannot be read: {error.strerror or error}")]
    results = [result for log in with_progress(logs, sys.stderr) for result in _judge_runs(log, judging, only)]
    found = [result for result in results if not isinstance(result, Unread)]
    if not found:
        why = results[0].why if len(results) == 1 and isinstance(results[0], Unread) else ""
        none = "no file in it is named as logs are: *.jsonl, *.csv, *.tsv, trainer_state.json, event files"
        why = why or f"{f'none of {len(logs)} files' if logs else none}{_printed(Path(file))}"
        return [Unread(file, f"{file} holds no log that can be read ({why})")]
    for result in results:
        # Nobody named it: a table of something else in the same folder is no failure.
        if isinstance(result, Unread):
            print(f"runwell diagnose: passed over: {result.why}", file=sys.stderr)
    return list(found)


def _printed(folder: Path) -> str:
    """The hint that a folder holds text which may be what a trainer printed; empty when it holds none."""
    texts = sorted(path for path in folder.iterdir() if path.suffix in PRINTED and path.is_file())
    return f"; what a trainer printed is read when its file is named, as {texts[0]}" if texts else ""


def with_progress(files: list[str], terminal: TextIO) -> Iterator[str]:
    """The files one by one, saying which one it is where somebody watches and there are several."""
    shown = len(files) > 1 and terminal.isatty()
    for number, file in enumerate(files, 1):
        if shown:
            name = "".join(char if char.isprintable() else "?" for char in file)[-60:]
            print(f"\r\x1b[K{number} of {len(files)}: {name}", end="", file=terminal, flush=True)
        yield file
    if shown:
        print("\r\x1b[K", end="", file=terminal, flush=True)


def _judge_runs(file: str, judging: Judging, only: str) -> list[Report | Unread]:
    """The report on a log, or one for each of the runs that a table tells of, in their order."""
    from runwell.apart import OneRun

    one = OneRun(only)
    results = [_judge(file, judging, one)]
    if only and not one.column and not isinstance(results[0], Unread):
        print(f"runwell diagnose: {file} tells of one run alone; --run {only} is passed over", file=sys.stderr)
    if only or not one.others or file == "-":
        if not only and one.others:
            print(f"runwell diagnose: {one.sentence('standard input')}", file=sys.stderr)
        return results
    for other in one.others[: MAX_RUNS - 1]:
        results.append(_judge(file, judging, OneRun(other)))
    if len(one.others) >= MAX_RUNS:
        print(f"runwell diagnose: {file} tells of more than {MAX_RUNS} runs; name others with --run", file=sys.stderr)
    return results


def _judge(file: str, judging: Judging, one: OneRun) -> Report | Unread:
    from diagnostics.report import make_report
    from runwell.runlog import UnreadableLog, read_tables

    engine = judging.engine()
    problems: list[str] = []
    source, name = (_standard_input(), "standard input") if file == "-" else (file, "")
    try:
        engine.observe_all(read_tables(source, name=name, on_problem=problems.append, one=one))
    except UnreadableLog as error:
        return Unread(file, str(error))
    except OSError as error:
        return Unread(file, f"{file} cannot be read: {error.strerror or error}")
    why = unjudged(file, engine)
    for problem in problems if why else problems + doubts(file, engine, judging.roles):
        print(f"runwell diagnose: {problem}", file=sys.stderr)
    if why:
        return Unread(file, why)
    return make_report(f"{file} ({one.read})" if one.others else file, engine)


def _standard_input() -> Any:
    # The bytes, so that packed logs and event files can be piped in; a test's stand-in may have none.
    return getattr(sys.stdin, "buffer", sys.stdin)


def _count(results: Sequence[Report | Unread]) -> str:
    """How many are well and how many are not, so that nobody has to look for them in a long list."""
    words = [*STATUS, "unreadable"]
    verdicts = [result.to_mapping()["verdict"] for result in results]
    told = [f"{verdicts.count(word)} {word}" for word in words if word in verdicts]
    return f"{len(results)} logs: {', '.join(told)}"


def _print(results: Sequence[Report | Unread], form: str) -> None:
    if form == "json":
        print(json.dumps([result.to_mapping() for result in results], indent=2, ensure_ascii=False, allow_nan=False))
        return
    from diagnostics.report import as_markdown, as_text

    terminal = terminal_of(sys.stdout)
    for result in results:
        if isinstance(result, Unread):
            print(f"runwell diagnose: {result.why}", file=sys.stderr)
        else:
            print(as_markdown(result) if form == "markdown" else as_text(result, **terminal._asdict()))
    if len(results) > 1:
        print(_count(results))
