"""Recorded runs on disk: one gzip of JSON lines a run, and a manifest that says what is recorded. Knows no training."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.zoo.harm import Outcome, Pair, outcome, read_outcome, read_pair
from benchmarks.zoo.spec import Case
from runwell.runlog import read_events, write_events

LOGS = Path(__file__).parent / "logs"
MANIFEST = "manifest.json"


def path_of(case: Case, folder: Path = LOGS) -> Path:
    """Where the case's log lies: each half in a folder of its own."""
    return folder / case.half / f"{case.name}.jsonl.gz"


def save(case: Case, events: Sequence[Mapping[str, Any]], folder: Path = LOGS) -> Path:
    """Write a case's log whole or not at all. The same events give the same bytes."""
    text = io.StringIO()
    write_events(events, text)
    path = path_of(case, folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_bytes(gzip.compress(text.getvalue().encode(), 9, mtime=0))
    partial.rename(path)
    return path


def load(case: Case, folder: Path = LOGS) -> list[dict[str, Any]]:
    """The case's events, non-finite numbers as floats. Raises `OSError` where there is no log."""
    return [dict(event) for event in read_events(path_of(case, folder))]


def recorded(cases: Sequence[Case], folder: Path = LOGS) -> list[Case]:
    """Those of the cases that have a log."""
    return [case for case in cases if path_of(case, folder).is_file()]


def stale(cases: Sequence[Case], folder: Path = LOGS) -> list[Case]:
    """Those of the recorded cases whose log is of another plan than today's, or of none that the manifest knows."""
    known = {half: read_manifest(half, folder) for half in {case.half for case in cases}}
    return [
        case for case in recorded(cases, folder) if known[case.half].get(case.name, {}).get("plan") != plan_hash(case)
    ]


def unpaired(cases: Sequence[Case], folder: Path = LOGS) -> list[Case]:
    """Those of the sick cases of which it is not known how their healthy twin ended."""
    known = {half: read_manifest(half, folder) for half in {case.half for case in cases}}
    return [case for case in cases if case.sick and _pair_of(case, known[case.half].get(case.name, {})) is None]


def outcomes(cases: Sequence[Case], folder: Path = LOGS) -> dict[str, Pair | Outcome]:
    """How the recorded cases ended: sick ones beside their twins, where those were trained, healthy ones alone."""
    known = {half: read_manifest(half, folder) for half in {case.half for case in cases}}
    found: dict[str, Pair | Outcome] = {}
    for case in cases:
        entry = known[case.half].get(case.name, {})
        if case.sick and (pair := _pair_of(case, entry)) is not None:
            found[case.name] = pair
        elif not case.sick and "own" in entry:
            found[case.name] = read_outcome(entry["own"])
    return found


def _pair_of(case: Case, entry: Mapping[str, Any]) -> Pair | None:
    """The pair of an entry, if it is of today's plan and of today's twin."""
    whole = entry.get("plan") == plan_hash(case) and entry.get("twin_plan") == plan_hash(case.twin())
    return read_pair(entry) if whole and "twin" in entry else None


def write_manifest(
    cases: Sequence[Case], folder: Path = LOGS, pairs: Mapping[str, Pair] | None = None
) -> dict[str, Any]:
    """Count what is planned and recorded of each half, and put beside each log its hash and how the run and its twin ended.

    Written into the halves' folders; the totals are returned. `pairs` are those that became known since the manifest was
    written. A log that the manifest knows already keeps the plan that it was recorded under.
    """
    total: dict[str, Any] = {"planned": {}, "recorded": {}, "bytes": 0}
    for half in sorted({case.half for case in cases}):
        mine = [case for case in cases if case.half == half]
        have, known = recorded(mine, folder), read_manifest(half, folder)
        manifest: dict[str, Any] = {
            "planned": _count(mine),
            "recorded": _count(have),
            "bytes": sum(path_of(case, folder).stat().st_size for case in have),
            "runs": {case.name: _entry(case, folder, known.get(case.name, {}), pairs or {}) for case in have},
        }
        path = folder / half / MANIFEST
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(manifest, indent=1) + "\n")
        total = {
            "planned": _added(total["planned"], manifest["planned"]),
            "recorded": _added(total["recorded"], manifest["recorded"]),
            "bytes": total["bytes"] + manifest["bytes"],
        }
    return total


def _count(cases: Sequence[Case]) -> dict[str, int]:
    return {"sick": sum(case.sick for case in cases), "healthy": sum(not case.sick for case in cases)}


def _added(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + number for name, number in other.items()}


def read_manifest(half: str, folder: Path = LOGS) -> dict[str, dict[str, Any]]:
    """The runs that the half's manifest lists, by name; empty where there is none."""
    path = folder / half / MANIFEST
    runs: dict[str, dict[str, Any]] = json.loads(path.read_text())["runs"] if path.is_file() else {}
    return runs


def _entry(case: Case, folder: Path, before: Mapping[str, Any], pairs: Mapping[str, Pair]) -> dict[str, Any]:
    digest = hashlib.sha256(path_of(case, folder).read_bytes()).hexdigest()
    same = before.get("sha256") == digest
    entry: dict[str, Any] = {"plan": before["plan"] if same else plan_hash(case), "sha256": digest}
    if case.sick:
        pair = pairs.get(case.name)
        fresh = {"twin_plan": plan_hash(case.twin()), **pair.to_mapping()} if pair is not None else {}
        kept = {name: before[name] for name in ("twin_plan", "own", "twin", "excess") if same and name in before}
        return {**entry, **(fresh or kept)}
    own = before["own"] if same and "own" in before else outcome(load(case, folder)).to_mapping()
    return {**entry, "own": own}


def plan_hash(case: Case) -> str:
    """A hash of what was planned: a log whose case has changed since has to be recorded again."""
    plan = [case.family, case.seed, dict(case.settings), case.text, case.onset, case.shape, dict(case.log), case.start]
    plan += [case.feed] if case.feed else []
    return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()[:16]
