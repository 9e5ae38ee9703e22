"""The recordings that are kept with the project are those that the manifests list, of today's plan, and small."""

from __future__ import annotations

import hashlib
import json

import pytest

from benchmarks.zoo.spec import cases
from benchmarks.zoo.storage import LOGS, MANIFEST, path_of, recorded, stale, unpaired


@pytest.mark.parametrize("half", ["tune", "test"])
def test_the_kept_logs_are_those_of_the_manifest_and_of_the_plan(half: str) -> None:
    if not (LOGS / half / MANIFEST).is_file():
        pytest.skip(f"nothing of the {half} half is recorded yet")
    manifest = json.loads((LOGS / half / MANIFEST).read_text())
    logs = {path.name.removesuffix(".jsonl.gz"): path for path in (LOGS / half).glob("*.jsonl.gz")}
    have = recorded(cases(half))
    assert set(logs) == set(manifest["runs"]) == {case.name for case in have}
    assert {n: hashlib.sha256(p.read_bytes()).hexdigest() for n, p in logs.items()} == {
        name: entry["sha256"] for name, entry in manifest["runs"].items()
    }
    assert stale(have) == unpaired(have) == [], "record again with python -m benchmarks.zoo.record"
    assert sum(path.stat().st_size for path in logs.values()) == manifest["bytes"]
    assert sum(manifest["recorded"].values()) == len(logs)


def test_all_logs_together_are_small() -> None:
    assert sum(path_of(case).stat().st_size for case in recorded(cases())) < 15_000_000
