"""A run says what it trains on: once when its data is healthy, and of the sick tokens when a fault takes their place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainer import data_report
from trainer.config import TrainConfig
from trainer.data import Corpus, prepare
from trainer.loop import Loop

Make = Callable[..., TrainConfig]


def test_a_run_tells_its_data_before_its_first_number(
    config: Make, make_loop: Callable[..., Loop], run: Any, text: str
) -> None:
    make_loop(config()).train()
    ((step, facts),) = run.told_data
    assert step == 0 and facts["characters"] == len(text) and facts["documents"] == 1
    assert facts["train_tokens"] + facts["val_tokens"] == len(text)
    assert facts["planned_tokens"] == 6 * 4 * 16 and facts["parameters"] > 1000
    assert facts["distinct"] > 0.95


@pytest.mark.parametrize(
    ("fault", "sees"),
    [
        ("tiny-data", lambda told: told["train_tokens"] < 200),
        ("duplicated-data", lambda told: told["distinct"] < 0.15 and told["repeated"] > 0.95 and told["most_text"]),
        ("train-val-overlap", lambda told: told["repeated"] < 0.05 and told.get("overlap", 1.0) > 0.9),
    ],
)
def test_what_is_told_is_what_is_trained_on(
    config: Make, make_loop: Callable[..., Loop], run: Any, fault: str, sees: Callable[[dict[str, Any]], bool]
) -> None:
    make_loop(config(fault=fault, fault_step=4, validation_fraction=0.3)).train()
    (_, healthy), (step, sick) = run.told_data
    assert step == 3, "told when the illness begins"
    assert not sees({"overlap": 0.0, **healthy})
    assert sees(sick)


def test_an_audit_is_made_once_and_kept_beside_the_tokens(
    config: Make, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = text.split("\n")
    first = prepare(config(), "\n".join(documents), tmp_path, documents=documents)
    assert first.audit.documents == len(documents)
    monkeypatch.setattr(data_report, "audit", lambda _: pytest.fail("counted again"))
    again: Corpus = prepare(config(), "\n".join(documents), tmp_path, documents=documents)
    assert again.audit == first.audit
    monkeypatch.undo()
    (kept,) = tmp_path.glob("tokens/*/" + data_report.FILE)
    kept.write_text("{}")
    assert prepare(config(), text, tmp_path).audit.documents == 1, "a broken file is made again"
