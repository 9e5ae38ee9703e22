"""What a person reads: one line every few seconds, with what matters and how long it will take."""

from __future__ import annotations

import math

import pytest

from trainer.progress import Progress, duration

VALUES = {"train/loss": 2.5, "train/learning_rate": 1e-3, "perf/tokens_per_second": 12_345.6}


def test_lines_come_every_few_seconds_and_the_last_step_is_always_shown() -> None:
    lines: list[str] = []
    now = [0.0]
    progress = Progress(100, clock=lambda: now[0], write=lines.append)
    for step in range(1, 101):
        now[0] += 0.5
        progress.step(step, VALUES)
    assert [line.split(" · ")[0] for line in lines][:3] == ["step 1/100", "step 9/100", "step 17/100"]
    assert lines[-1] == "step 100/100 · loss 2.5000 · rate 0.001 · 12,346 tokens/s"
    assert lines[1] == "step 9/100 · loss 2.5000 · rate 0.001 · 12,346 tokens/s · 46 s left"
    assert len(lines) == 14


def test_a_resumed_run_estimates_from_where_it_began() -> None:
    lines: list[str] = []
    now = [0.0]
    progress = Progress(1000, clock=lambda: now[0], write=lines.append)
    progress.step(901, VALUES)
    now[0] = 10.0
    progress.step(911, VALUES)
    assert not lines[0].endswith("left") and lines[1].endswith("1 min 29 s left")


def test_a_loss_that_is_not_a_number_is_printed_as_it_is() -> None:
    lines: list[str] = []
    Progress(10, clock=lambda: 0.0, write=lines.append).step(1, VALUES | {"train/loss": math.nan})
    assert "loss nan" in lines[0]


def test_other_lines_are_printed_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    Progress(10).say("step 5 · validation loss 2.0000")
    assert capsys.readouterr().out == "step 5 · validation loss 2.0000\n"


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59, "59 s"), (60, "1 min 0 s"), (3599, "59 min 59 s"), (7500, "2 h 5 min")]
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words
