"""Recorded runs on disk: one gzip of JSON lines a run, and a manifest that says what is recorded. Knows no training."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.zoo.spec import Case
from runwell.runlog import read_events, write_events

LOGS = Path(__file__).parent / "logs"
MANIFEST = "manifest.json"


def path_of(case: Case, folder: Path = LOGS) -> Path:
    """Where the case's log lies."""
    return folder / f"{case.name}.jsonl.gz"


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
    known = _known(folder)
    return [case for case in recorded(cases, folder) if known.get(case.name, {}).get("plan") != plan_hash(case)]


def write_manifest(cases: Sequence[Case], folder: Path = LOGS) -> dict[str, Any]:
    """Count what is planned and recorded, and put a hash beside each log; written to the folder and returned.

    A log that the manifest knows already keeps the plan that it was recorded under.
    """
    have, known = recorded(cases, folder), _known(folder)
    sick = sum(case.sick for case in have)
    manifest = {
        "planned": {"sick": sum(case.sick for case in cases), "healthy": sum(not case.sick for case in cases)},
        "recorded": {"sick": sick, "healthy": len(have) - sick},
        "bytes": sum(path_of(case, folder).stat().st_size for case in have),
        "runs": {case.name: _entry(case, folder, known.get(case.name, {})) for case in have},
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
    return manifest


def _known(folder: Path) -> dict[str, dict[str, str]]:
    path = folder / MANIFEST
    runs: dict[str, dict[str, str]] = json.loads(path.read_text())["runs"] if path.is_file() else {}
    return runs


def _entry(case: Case, folder: Path, before: Mapping[str, str]) -> dict[str, str]:
    digest = hashlib.sha256(path_of(case, folder).read_bytes()).hexdigest()
    plan = before["plan"] if before.get("sha256") == digest else plan_hash(case)
    return {"half": case.half, "plan": plan, "sha256": digest}


def plan_hash(case: Case) -> str:
    """A hash of what was planned: a log whose case has changed since has to be recorded again."""
    plan = [case.family, case.seed, dict(case.settings), case.text, case.onset, case.shape, dict(case.log), case.start]
    return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()[:16]
