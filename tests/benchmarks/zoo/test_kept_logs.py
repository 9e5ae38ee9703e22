"""The recordings that are kept with the project are those that the manifest lists, of today's plan, and small."""

from __future__ import annotations

import hashlib
import json

from benchmarks.zoo.spec import cases
from benchmarks.zoo.storage import LOGS, MANIFEST, recorded, stale


def test_the_kept_logs_are_those_of_the_manifest_and_of_the_plan() -> None:
    manifest = json.loads((LOGS / MANIFEST).read_text())
    logs = {path.name.removesuffix(".jsonl.gz"): path for path in LOGS.glob("*.jsonl.gz")}
    assert set(logs) == set(manifest["runs"]) == {case.name for case in recorded(cases())}
    assert {n: hashlib.sha256(p.read_bytes()).hexdigest() for n, p in logs.items()} == {
        name: entry["sha256"] for name, entry in manifest["runs"].items()
    }
    assert stale(cases()) == [], "record again with python -m benchmarks.zoo.record"
    assert sum(path.stat().st_size for path in logs.values()) == manifest["bytes"] < 15_000_000
    assert sum(manifest["recorded"].values()) == len(logs)
