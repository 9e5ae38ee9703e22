"""What goes with a sample: how much of it stands in the training text, and how it was asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from trainer import loop as loop_module
from trainer.config import TrainConfig

Make = Callable[..., TrainConfig]


@pytest.mark.parametrize("place", [0, 5, 1234])
def test_a_text_known_by_heart_is_measured_as_a_copy(
    config: Make, make_loop: Any, corpus: Any, run: Any, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    data = corpus(config())
    passage = torch.from_numpy(data.train[place : place + 180].astype("int64"))
    monkeypatch.setattr(loop_module, "generate", lambda *_: passage)
    make_loop(config(temperature=0.5, top_k=7), data=data).sample()
    assert len(run.measures) == 2
    for measured in run.measures:
        assert measured["verbatim_tokens"] == measured["verbatim_characters"] == 180
        assert (measured["verbatim_places"], measured["temperature"], measured["top_k"]) == (1, 0.5, 7)


def test_an_untrained_model_copies_nothing(config: Make, make_loop: Any, run: Any) -> None:
    make_loop(config(sample_tokens=60)).sample()
    assert [measured["verbatim_tokens"] for measured in run.measures] == [0, 0]
    assert {measured["temperature"] for measured in run.measures} == {config().temperature}


def test_a_model_that_writes_nothing_is_measured_too(config: Make, make_loop: Any, run: Any) -> None:
    make_loop(config(fault="log-zero", fault_step=1, sample_interval=3)).train()
    assert run.measures
    assert all(measured["verbatim_characters"] == 0 for measured in run.measures)
