"""Relaunches as the store and the checkpoint folders know them: the plan for one, a run's family, what became of its fixes.

Reads only. What a remedy does to settings is decided in `fixes`, whether it helped in `outcomes`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from dashboard.errors import Refused, UnknownFinding, UnknownRun
from dashboard.fixes import Change, Child, Plan, Saved, difference, plan, settings_of
from dashboard.outcomes import Outcome, judge
from dashboard.records import FindingRecord, Run
from dashboard.store import Store
from runwell.wire import shorten

_FOLDER = re.compile(r"step-(\d{9,15})")


def saved_checkpoints(home: Path, run_id: str) -> Saved:
    """What lies whole in the run's checkpoint folder under `home`; nothing when there is none."""
    folder = home / "runs" / run_id / "checkpoints"
    steps = tuple(
        sorted(
            int(match[1])
            for path in folder.glob("step-*")
            if (match := _FOLDER.fullmatch(path.name)) and (path / "state.json").is_file()
        )
    )
    try:
        best = int(json.loads((folder / "best.json").read_text("utf-8"))["step"])
    except (OSError, ValueError, KeyError, TypeError):
        best = None
    return Saved(steps, best if best in steps else None)


def prepare(store: Store, home: Path, run_id: str, rule: str = "", subject: str = "", remedy: str = "") -> Plan:
    """The plan of a relaunch: the run's settings, with the `remedy` (1 is the first) of one of its findings.

    Without `rule` and `remedy`: the same settings again. Raises UnknownRun, UnknownFinding or Refused, one sentence each.
    """
    run = store.run(run_id)
    if not rule and not remedy:
        return plan(run, None, Saved())
    finding = _finding(store, run, rule, subject)
    remedies = [one for one in finding.body.get("remedies", ()) if isinstance(one, Mapping)]
    number = int(remedy) if remedy.isascii() and remedy.isdigit() and len(remedy) < 4 else 0
    if not 1 <= number <= len(remedies):
        allowed = f"a number from 1 to {len(remedies)}" if remedies else "none, for this finding has no remedies"
        raise Refused(f"remedy {shorten(remedy)} is not allowed; it takes {allowed}: choose one on the run's page")
    return plan(run, remedies[number - 1], saved_checkpoints(home, run.id))


def _finding(store: Store, run: Run, rule: str, subject: str) -> FindingRecord:
    found = (one for one in store.findings(run.id) if (one.rule, one.subject) == (rule, subject))
    finding = next(found, None)
    if finding is None:
        raise UnknownFinding(run.id, rule, subject)
    return finding


def parent_of(store: Store, run: Run) -> Run | None:
    """The run that this one is a relaunch of, if it is one and that run is still kept."""
    try:
        return store.run(run.parent_id) if run.parent_id else None
    except UnknownRun:
        return None


def children_of(store: Store, run: Run) -> list[Child]:
    """The relaunches of a run, newest first."""
    return [Child(child, changes(run, child)) for child in store.children(run.id) if child.id != run.id]


def changes(parent: Run, child: Run) -> tuple[Change, ...] | None:
    """How the child's settings differ from its parent's; None when one of them is not a run of the trainer."""
    try:
        return difference(settings_of(parent), settings_of(child))
    except Refused:
        return None


def outcomes(
    store: Store, children: Sequence[Child], found: Sequence[FindingRecord]
) -> dict[tuple[str, str], list[Outcome]]:
    """What the children say about each finding of their parent, by (rule, subject), in the order of the children."""
    theirs = [(child.run, store.findings(child.run.id)) for child in children]
    # what another finding explains had no fix of its own to be judged
    return {
        (one.rule, one.subject): [judge(one, run, seen, _explained_by(one, found)) for run, seen in theirs]
        if not one.body.get("because")
        else []
        for one in found
    }


def _explained_by(finding: FindingRecord, found: Sequence[FindingRecord]) -> set[str]:
    """The rules of the findings that name this one as what explains them."""
    return {one.rule for one in found if str(one.body.get("because") or "").startswith(f"{finding.rule} explains")}
