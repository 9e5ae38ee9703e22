"""`runwell watch FILE`: follow a log that is still being written, and say what opens, changes and is over.

Exit status as `runwell diagnose`: 0 healthy, 1 warning, 2 critical, 3 could not read; Ctrl-C ends it.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from runwell.commands.judging import STATUS, UNREADABLE, BadArgument, Judging, add_flags, doubts, read_flags, unjudged
from runwell.commands.terminal import terminal_of

if TYPE_CHECKING:
    from diagnostics import Engine, Finding
    from runwell.wire import Event


def add_parser(subparsers: Any) -> None:
    """Flags of `runwell watch`."""
    parser = subparsers.add_parser(
        "watch",
        help="follow a growing log and say what is wrong as it shows",
        description="Follow a log that is still being written (see `runwell diagnose` for what it may be) and say what "
        "opens, changes and is over. A file that is not there yet is waited for. Ctrl-C ends it.",
        epilog="exit status: 0 healthy, 1 warning, 2 critical, 3 could not read",
    )
    parser.add_argument("file", metavar="FILE", help="a run log or a folder of event files; - reads standard input")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="json: one object a line")
    parser.add_argument(
        "--interval", metavar="SECONDS", type=float, default=1.0, help="how often to look (default 1, from 0.05)"
    )
    add_flags(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Follow until Ctrl-C, or until standard input ends."""
    try:
        judging = read_flags(args)
        if not 0.05 <= args.interval <= 3600 or math.isnan(args.interval):
            raise BadArgument(f"--interval {args.interval:g} is not allowed; it takes 0.05 to 3600 seconds")
        return watch(args.file, judging, args.format, lambda: _sleep(args.interval))
    except BadArgument as error:
        print(f"runwell watch: {error}", file=sys.stderr)
        return UNREADABLE


def watch(file: str, judging: Judging, form: str, wait: Callable[[], bool]) -> int:
    """Print changes until `wait` says no; the exit status. A log that begins anew is judged anew."""
    from runwell.follow import BeganAnew
    from runwell.runlog import UnreadableLog

    if file != "-" and (said := _beginning(Path(file), sys.stderr.isatty())):
        _tell(said)
    while True:
        engine = judging.engine()
        try:
            _follow(engine, _events(file, wait), form)
        except BeganAnew:
            _tell(f"{file} began anew; judging it from its beginning")
            continue
        except KeyboardInterrupt:
            pass
        except BrokenPipeError:
            raise  # whoever read the changes has gone: no fault of the log
        except (UnreadableLog, OSError) as error:
            _tell(
                str(error) if isinstance(error, UnreadableLog) else f"{file} cannot be read: {error.strerror or error}"
            )
            return UNREADABLE
        return _conclude(file, engine, judging, form)


def _beginning(path: Path, somebody_looks: bool) -> str:
    """What is waited for, or followed where somebody looks. Raises `BadArgument` for a folder of logs to be followed one by one."""
    from runwell.logfolder import event_files, find_logs

    if not path.exists():
        return f"{path} is not there yet; waiting for it"
    if not path.is_dir() or event_files(path):
        return f"following {path}; Ctrl-C ends it" if somebody_looks else ""
    if logs := find_logs(path):
        raise BadArgument(f"{path} holds no event files of its own; name one of the logs in it, as {logs[0]}")
    return f"{path} holds no event files yet; waiting for them"


def _events(file: str, wait: Callable[[], bool]) -> Iterator[Event]:
    from runwell.follow import follow_events
    from runwell.runlog import read_events

    if file == "-":
        return read_events(getattr(sys.stdin, "buffer", sys.stdin), name="standard input", on_problem=_tell)
    return follow_events(Path(file), wait, _tell)


def _follow(engine: Engine, events: Iterator[Event], form: str) -> None:
    before: dict[tuple[str, str], Finding] = {}
    for event in events:
        engine.observe(event)
        now = {(finding.rule, finding.subject): finding for finding in engine.findings()}
        for change in changes(before, now):
            print(_as_json(change) if form == "json" else _as_text(change, terminal_of(sys.stdout).colour), flush=True)
        before = now


class Change(NamedTuple):
    """What happened to a finding."""

    word: str
    """`opened`, `opened again`, `resolved`, `warning → critical` and the like, `explained` or `no longer explained`."""
    finding: Finding


def changes(before: dict[tuple[str, str], Finding], now: dict[tuple[str, str], Finding]) -> list[Change]:
    """What a person must be told: not every new number, but what is new, over, worse or better. In order of importance."""
    found = []
    for key, finding in now.items():
        old = before.get(key)
        if old is None:
            word = "opened" if finding.status == "open" else finding.status
        elif old.status != finding.status:
            word = "opened again" if finding.status == "open" else finding.status
        elif old.severity != finding.severity:
            word = f"{old.severity} → {finding.severity}"
        elif _explaining(old) != _explaining(finding):
            word = "explained" if finding.because else "no longer explained"
        else:
            continue
        found.append(Change(word, finding))
    return found


def _explaining(finding: Finding) -> str:
    """The rule that explains a finding: the rest of the sentence holds numbers, which are new at every look."""
    return (finding.because or "").split(" ")[0]


def _as_json(change: Change) -> str:
    return json.dumps(
        {"change": change.word, "finding": change.finding.to_mapping()}, ensure_ascii=False, allow_nan=False
    )


def _as_text(change: Change, colour: bool) -> str:
    from diagnostics import say
    from diagnostics.report import COLOURS, SIGNS, safe

    word, finding = change
    kind = str(finding.severity)
    sign = f"{SIGNS[kind]} {kind}"
    shown = f"\x1b[{COLOURS[kind]}m{sign}\x1b[0m" if colour else sign
    lines = [
        f"{shown}  {word}: {safe(finding.title)}  [{finding.rule}, {finding.known} at step {say.step(finding.detected_step)}]"
    ]
    if finding.because:
        lines.append(f"      {safe(finding.because)}")
    elif finding.status == "open":
        lines += [f"      seen    {safe(item.series)}: {safe(item.sentence)}" for item in finding.evidence]
        lines += [f"      do      {remedy.sentence}" for remedy in finding.remedies[:2]]
    return "\n".join(lines)


def _conclude(file: str, engine: Engine, judging: Judging, form: str) -> int:
    from diagnostics.reading import sentence
    from diagnostics.report import safe

    if why := unjudged(file, engine):
        _tell(why if engine.names or file == "-" else f"{file}: nothing was there to read")
        return UNREADABLE
    for doubt in doubts(file, engine, judging.roles):
        _tell(doubt)
    verdict = engine.verdict()
    if form == "json":
        print(json.dumps({"verdict": verdict, "read": engine.reading().to_mapping()}, ensure_ascii=False), flush=True)
    else:
        print(f"read: {safe(sentence(engine.reading()))}\n{safe(file)}: {verdict}", flush=True)
    return STATUS[verdict]


def _sleep(seconds: float) -> bool:
    try:
        time.sleep(seconds)
    except KeyboardInterrupt:
        return False
    return True


def _tell(sentence: str) -> None:
    print(f"runwell watch: {sentence}", file=sys.stderr)
