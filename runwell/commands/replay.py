"""`runwell replay [RUN…]`: judge stored runs by today's rules, and show what differs from what is stored.

Reads the store itself, so it works without a server; nothing is written. Exit status: 0 nothing differs, 1 something
does, 2 bad input.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from runwell.commands.judging import BadArgument, add_settings_flag, read_settings

if TYPE_CHECKING:
    from dashboard.judgement import NewEngine
    from dashboard.records import Run
    from dashboard.store import Store

COMPARED = ("severity", "status", "first_step", "detected_step", "resolved_step", "occurrences", "because")
"""What makes a finding another one to its reader; wording and confidence do not."""


def add_parser(subparsers: Any) -> None:
    """Flags of `runwell replay`."""
    parser = subparsers.add_parser(
        "replay",
        help="judge stored runs by today's rules and show what changes",
        description="Judge stored runs by today's rules and thresholds, and show what differs from the stored findings. "
        "Nothing is written.",
        epilog="exit status: 0 nothing differs, 1 something does, 2 bad input",
    )
    parser.add_argument("runs", metavar="RUN", nargs="*", help="runs' ids, as `runwell runs` shows them (default: all)")
    parser.add_argument("--project", metavar="NAME", help="only this project's runs")
    add_settings_flag(parser)
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("--home", metavar="DIR", help="where the store lies (default: $RUNWELL_HOME)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Replay and print one answer a run; the settings file under home counts unless `--settings` names another."""
    from dashboard.errors import DashboardError
    from dashboard.settings import Settings

    try:
        settings = Settings.read(home=args.home)
        engine = _engines(args.settings, settings.home)
        store = _open(settings.database_url)
        try:
            answers = list(_answers(store, _wanted(store, args.runs, args.project), engine))
        finally:
            store.close()
    except (DashboardError, BadArgument) as error:
        print(f"runwell replay: {error}", file=sys.stderr)
        return 2
    if args.format == "json":
        print(json.dumps([answer.to_mapping() for answer in answers], indent=2, ensure_ascii=False, allow_nan=False))
    else:
        print("\n".join(line for answer in answers for line in answer.lines()) + _summary(answers))
    return int(any(answer.differs for answer in answers))


class Answer(NamedTuple):
    """What a replay of one run came to."""

    run_id: str
    name: str
    before: str
    """The stored verdict."""
    after: str
    """The verdict by today's rules; a person's muting counts in both."""
    added: list[Mapping[str, Any]]
    gone: list[Mapping[str, Any]]
    changed: list[tuple[Mapping[str, Any], dict[str, tuple[Any, Any]]]]
    """(the finding as it is now, what differs: field → before and after)."""

    @property
    def differs(self) -> bool:
        """Whether anything did."""
        return bool(self.before != self.after or self.added or self.gone or self.changed)

    def to_mapping(self) -> dict[str, Any]:
        """Plain JSON values."""
        changed = [
            {
                "finding": found,
                "changed": {field: {"before": old, "after": new} for field, (old, new) in fields.items()},
            }
            for found, fields in self.changed
        ]
        return {
            "run": self.run_id,
            "verdict": {"before": self.before, "after": self.after},
            "added": self.added,
            "gone": self.gone,
            "changed": changed,
        }

    def lines(self) -> Iterator[str]:
        """For the terminal; nothing for a run that stayed as it was."""
        if not self.differs:
            return
        verdicts = self.after if self.before == self.after else f"{self.before} → {self.after}"
        yield _safe(f"{self.run_id}  {self.name}: {verdicts}")
        for sign, findings in (("+", self.added), ("-", self.gone)):
            for found in findings:
                yield _safe(
                    f"  {sign} {found['severity']}  {found['title']}  "
                    f"[{found['rule']}, known at step {found['detected_step']:,}]"
                )
        for found, fields in self.changed:
            told = "; ".join(f"{field} {_shown(old)} → {_shown(new)}" for field, (old, new) in fields.items())
            yield _safe(f"  ~ {found['rule']}: {told}")


def compare(
    before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]
) -> tuple[
    list[Mapping[str, Any]], list[Mapping[str, Any]], list[tuple[Mapping[str, Any], dict[str, tuple[Any, Any]]]]
]:
    """(added, gone, changed) findings, in the order in which they were given."""
    old = {(found["rule"], found["subject"]): found for found in before}
    new = {(found["rule"], found["subject"]): found for found in after}
    changed = []
    for key, found in new.items():
        was = old.get(key)
        fields = {n: (was.get(n), found.get(n)) for n in COMPARED if was.get(n) != found.get(n)} if was else {}
        if fields:
            changed.append((found, fields))
    return [new[key] for key in new if key not in old], [old[key] for key in old if key not in new], changed


def _answers(store: Store, runs: list[Run], engine: NewEngine) -> Iterator[Answer]:
    from runwell.commands.diagnose import with_progress

    by_id = {run.id: run for run in runs}
    for run_id in with_progress(list(by_id), sys.stderr):
        yield _replay(store, by_id[run_id], engine)


def _replay(store: Store, run: Run, engine: NewEngine) -> Answer:
    from dashboard.judgement import THROUGH, judgement_of

    judgement = judgement_of(run, engine)
    # Like is held against like: what came since the stored verdict was given is left out of the new one too.
    through = store.coverage(run.id).get(THROUGH)
    events = store.replay(run.id)
    judgement.take(events if through is None else takewhile(lambda item: item[0] <= through, events))
    records = store.findings(run.id)
    muted = {(record.rule, record.subject) for record in records if record.status == "muted"}
    found = judgement.findings()
    told = {(item["rule"], item["subject"]) for item in found}
    # What the server took back, or a person called over, is kept for its history: that it is not found is no news.
    said = [r.body for r in records if r.resolved_at is None or _is_over(r.body) or (r.rule, r.subject) in told]
    return Answer(run.id, run.name, run.verdict, judgement.verdict(muted), *compare(said, found))


def _is_over(body: Mapping[str, Any]) -> bool:
    return body.get("status") == "resolved" or body.get("resolved_step") is not None


def _wanted(store: Store, run_ids: list[str], project: str | None) -> list[Run]:
    if run_ids:
        return [store.run(run_id) for run_id in dict.fromkeys(run_ids)]
    return store.runs(project=project)


def _engines(settings: str | None, home: Path) -> NewEngine:
    from dashboard.judgement import engines_with
    from dashboard.rule_settings import find_rule_settings, read_rule_settings

    options = read_settings(settings) if settings is not None else read_rule_settings(find_rule_settings(home))
    return engines_with(options)


def _open(url: str) -> Store:
    from dashboard.store import Store

    if "://" not in url and not Path(url).exists():
        # Opening it would make an empty one.
        raise BadArgument(f"there is no store at {url}; say where it lies with --home")
    return Store.open(url)


def _summary(answers: list[Answer]) -> str:
    differ = sum(answer.differs for answer in answers)
    runs = f"{len(answers):,} run{'' if len(answers) == 1 else 's'} replayed"
    return f"{chr(10) if differ else ''}{runs}, {differ or 'none'} differ{'s' if differ == 1 else ''}"


def _shown(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else "nothing" if value is None else str(value)


def _safe(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)
