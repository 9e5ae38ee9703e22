"""The made-up runs are judged well enough: a bar that a change of the rules must not fall below."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

PATH = Path(__file__).parents[2] / "benchmarks/diagnosis_curves.py"


@pytest.fixture(scope="module")
def curves() -> ModuleType:
    spec = importlib.util.spec_from_file_location("diagnosis_curves", PATH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


def test_recall_and_false_alarms(curves: ModuleType) -> None:
    runs = 2 * len(curves.HEALTHY) * len(curves.SICK) // 5
    scores = curves.measure(runs, seed=11)
    healthy = [score for kind, score in scores.items() if kind in {g.__name__ for g in curves.HEALTHY}]
    sick = [score for kind, score in scores.items() if kind not in {g.__name__ for g in curves.HEALTHY}]
    assert sum(score.runs for score in healthy) == sum(score.runs for score in sick) == runs
    assert sum(score.alarms for score in healthy) <= 0.03 * runs
    assert sum(score.found for score in sick) >= 0.95 * runs
    assert sum(score.primary for score in sick) >= 0.9 * runs


def test_every_healthy_kind_is_silent_and_every_sick_kind_is_found(curves: ModuleType) -> None:
    for make in curves.HEALTHY + curves.SICK:
        curve = make(curves.np.random.default_rng(5))
        alarms, engine = curves.judge(curve)
        assert engine.coverage().failed == {}
        assert bool(alarms) == bool(curve.expected), f"{curve.kind}: {[finding.title for finding in alarms]}"
