"""Facts are found in configs of any shape, and nonsense is no fact."""

from __future__ import annotations

import math
from typing import Any

import pytest

from diagnostics.facts import read_facts
from trainer.config import TrainConfig


def test_our_own_config() -> None:
    facts = read_facts(TrainConfig(max_steps=500, learning_rate=2e-3, warmup_steps=50).to_mapping())
    assert (facts.planned_steps, facts.peak_rate, facts.warmup_steps, facts.grad_clip) == (500, 2e-3, 50, 1.0)
    assert (facts.vocab_size, facts.from_scratch) == (4096, True)


@pytest.mark.parametrize(("tokenizer", "vocab"), [("byte", 256), ("char", None), ("bpe", 4096)])
def test_a_tokenizer_with_its_own_vocabulary(tokenizer: Any, vocab: int | None) -> None:
    assert read_facts(TrainConfig(tokenizer=tokenizer).to_mapping()).vocab_size == vocab


@pytest.mark.parametrize(
    ("config", "name", "value"),
    [
        ({"trainer": {"args": {"max_iters": 600}}}, "planned_steps", 600),
        ({"model.vocab_size": 50257}, "vocab_size", 50257),
        ({"max_grad_norm": 0.5}, "grad_clip", 0.5),
        ({"lr": "3e-4"}, "peak_rate", 3e-4),
        ({"warmup": 0.1, "max_steps": 1000}, "warmup_steps", 100),
        ({"init_from": "gpt2"}, "from_scratch", False),
        ({"init_from": "scratch"}, "from_scratch", True),
        ({"model_name_or_path": "some/model"}, "from_scratch", False),
        ({}, "from_scratch", None),
        ({"optim": "RMSprop"}, "adam", True),
        ({"optimizer": "muon"}, "other_rates", True),
    ],
)
def test_other_trainers_configs(config: dict[str, Any], name: str, value: object) -> None:
    assert getattr(read_facts(config), name) == value


@pytest.mark.parametrize("bad", [None, True, "many", -1, -5, math.nan, math.inf, [], {}, 0, -1.0, "nan", 10**400])
def test_nonsense_is_no_fact(bad: object) -> None:
    facts = read_facts({"max_steps": bad, "vocab_size": bad, "learning_rate": bad})
    assert (facts.planned_steps, facts.vocab_size, facts.peak_rate) == (None, None, None)


def test_uniform_loss_is_ln_of_the_vocabulary() -> None:
    assert read_facts({"vocab_size": 5000}).uniform_loss == pytest.approx(8.517, abs=1e-3)
