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


def test_no_false_alarm_and_every_illness_found(curves: ModuleType) -> None:
    runs = 2 * len(curves.HEALTHY)
    scores = curves.measure(runs, seed=11)
    healthy = {make.__name__ for make in curves.HEALTHY}
    assert sum(scores[kind].runs for kind in healthy) == runs
    assert sum(score.runs for kind, score in scores.items() if kind not in healthy) == runs
    assert {kind: scores[kind].alarms for kind in healthy} == dict.fromkeys(healthy, 0)
    missed = {kind: score.runs - score.found for kind, score in scores.items() if kind not in healthy}
    assert sum(missed.values()) <= 1, missed
    assert sum(score.primary for score in scores.values()) >= 0.9 * runs
