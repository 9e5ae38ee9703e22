"""`non-finite-gradient` speaks of an fp16 loss scale that falls to where it helps no more, and lets every healthy scaler search."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from diagnostics import Engine
from runwell.runlog import read_events

RULE = "non-finite-gradient"
DEEPSPEED = "[deepspeed] OVERFLOW! Rank 0 Skipping step. Attempted loss scale: {}, reducing to {}\n"
HYSTERESIS = "[deepspeed] OVERFLOW! Rank 0 Skipping step. Attempted loss scale: {}, but hysteresis is 2. Reducing hysteresis to 1\n"
FAIRSEQ = "fairseq.trainer | NOTE: gradient overflow detected, ignoring gradient, setting loss scale to: {}\n"


def loss_at(step: float, noise: float = 0.0) -> float:
    return 2 + 8 * (1 + step / 30) ** -0.6 + noise


def rows(start: int, stop: int, every: int = 1, stands: float | None = None) -> str:
    noise = np.random.default_rng(start).normal(0, 0.02, stop)
    return "".join(f"step {n}: loss {stands or loss_at(n, noise[n]):.4f}\n" for n in range(start, stop, every))


def halved(form: str, high: float, times: int) -> Iterator[str]:
    return (form.format(high / 2**n, high / 2 ** (n + 1)) for n in range(times))


def told(form: str, high: float, times: int) -> str:
    """Overflows of who tells the new scale alone."""
    return "".join(form.format(high / 2**n) for n in range(1, times + 1))


def judged(text: str) -> Engine:
    engine = Engine()
    engine.observe_all(read_events(io.StringIO(text)))
    assert engine.coverage().failed == {}
    return engine


def found_in(text: str) -> Any:
    return next((finding for finding in judged(text).findings() if finding.rule == RULE), None)


@pytest.mark.parametrize("before", [2, 30, 5000])
def test_a_scale_that_falls_after_training_is_critical_at_once(before: int) -> None:
    text = rows(0, before) + "".join(halved(DEEPSPEED, 64.0, 5))
    finding = found_in(text)
    assert str(finding.severity) == "critical" and finding.first_step == before - 1
    assert "5 steps skipped in a row" in finding.title and "down to 2" in finding.title


@pytest.mark.parametrize("every", [1, 10])
def test_rows_between_the_overflows_do_not_hide_that_all_are_skipped(every: int) -> None:
    """A loss is logged of skipped steps as well."""
    fall, text = [*halved(DEEPSPEED, 2.0**20, 20)], rows(0, 1000, every)
    for n in range(0, 20, every):
        text += "".join(fall[n : n + every]) + rows(1000 + n, 1001 + n, stands=3.5)
    assert str(found_in(text).severity) == "critical"


def test_the_floor_of_the_scale_goes_on_being_told() -> None:
    fall = "".join(halved(DEEPSPEED, 65536.0, 16))
    text = rows(0, 40) + fall
    for n in range(40, 120):
        text += DEEPSPEED.format(1, 1) + rows(n, n + 1, stands=6.9)
    finding = found_in(text)
    assert str(finding.severity) == "critical" and finding.status == "open"


def test_a_search_from_the_start_that_finds_nothing() -> None:
    found = found_in(
        "".join(rows(n, n + 1, stands=10.5) + line for n, line in enumerate(halved(DEEPSPEED, 65536.0, 17)))
    )
    assert str(found.severity) == "critical"


def test_fairseqs_death_with_one_row_above_it() -> None:
    row = "| epoch 027 | loss 6.343 | num_updates 10198 | gnorm 0.390 | loss_scale 0.500 | wall 23080\n"
    assert "12 steps" in found_in(row + told(FAIRSEQ, 0.5, 12)).title


@pytest.mark.parametrize("before", [0, 40])
def test_a_log_that_begins_at_the_floor(before: int) -> None:
    lines = (DEEPSPEED.format(1, 1) + rows(before + n, before + n + 1, stands=6.9) for n in range(6))
    assert str(found_in(rows(0, before) + "".join(lines)).severity) == "critical"


def test_megatrons_rows_of_nothing_but_skipped_steps() -> None:
    row = " iteration {:8}/ 5000 | learning rate: 1.0E-04 |{} loss scale: {} | number of skipped iterations: {:3} | number of nan iterations:   0 |\n"
    text = "".join(row.format(10 * n, f" lm loss: {loss_at(10 * n):.4f} |", 256.0, 0) for n in range(1, 60))
    assert found_in(text) is None
    text += row.format(600, " lm loss: 3.9 |", 16.0, 4) + row.format(610, "", 1.0, 10)
    assert "14 steps" in found_in(text).title


def test_a_scale_that_is_logged_at_each_step_and_not_finite_now_and_then(assert_finds: Any, run: Any) -> None:
    scale = [1024.0] * 100 + [1024 / 2.0**n for n in range(1, 12)]
    scale[50] = scale[104] = math.nan
    scale[103] = math.inf
    finding = assert_finds(run(train_loss=[*map(loss_at, range(100)), *[3.5] * 11], loss_scale=scale), RULE)
    assert finding.first_step == 100 and str(finding.severity) == "critical"


@pytest.mark.parametrize("every", [1, 50])
def test_a_scale_without_a_floor_goes_to_zero_and_stays_there(assert_finds: Any, run: Any, every: int) -> None:
    steps = list(range(0, 1000 if every == 1 else 5000, every))
    scale = [65536.0 * 0.5 ** max(0, step - 400) for step in steps]
    scale = [value if value >= 2.0**-149 else 0.0 for value in scale]
    finding = assert_finds(run(steps, train_loss=[loss_at(min(step, 400)) for step in steps], loss_scale=scale), RULE)
    assert str(finding.severity) == "critical" and finding.status == "open"


# -- healthy scalers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "search",
    [
        "".join(halved(DEEPSPEED, 65536.0, 9)),
        "".join(halved(DEEPSPEED, 2.0**32, 25)),
        "".join(HYSTERESIS.format(65536) + line for line in halved(DEEPSPEED, 65536.0, 6)),
        told("Gradient overflow.  Skipping step, loss scaler 0 reducing loss scale to {}\n", 65536.0, 8),
        told(FAIRSEQ, 128.0, 7),
    ],
    ids=["deepspeed", "from 2^32", "with hysteresis", "apex", "fairseq's sums"],
)
@pytest.mark.parametrize("beside_losses", [True, False])
def test_a_search_at_the_start(search: str, beside_losses: bool) -> None:
    lines = search.splitlines(keepends=True)
    text = "".join(line + rows(n, n + 1, stands=10.8) * beside_losses for n, line in enumerate(lines))
    text += rows(len(lines) * beside_losses, 400)
    assert found_in(text) is None


@pytest.mark.parametrize("rest", [2.0**15, 128.0, 2.0])
@pytest.mark.parametrize("every", [1, 10, 100])
def test_an_overflow_now_and_then(rest: float, every: int) -> None:
    """The scale is doubled in silence and halved again; now and then twice."""
    text = told(FAIRSEQ, 128.0, 6) if rest == 2.0 else ""
    for n in range(20):
        text += rows(1000 * n, 1000 * (n + 1), every) + FAIRSEQ.format(rest) + FAIRSEQ.format(rest / 2) * (n % 4 == 0)
    assert found_in(text) is None


@pytest.mark.parametrize("every", [1, 10])
def test_a_scale_that_comes_down_bit_by_bit(every: int) -> None:
    """Gradients that grow all along need ever less of it; there are many steps between."""
    text = "".join(rows(700 * n, 700 * (n + 1), every) + FAIRSEQ.format(64.0 / 2**n) for n in range(10))
    assert found_in(text) is None


def test_a_sum_over_many_tokens_is_scaled_far_below_one() -> None:
    """As fairseq's, whose loss goes on falling all the time."""
    row = "| epoch 001: {:6} / 1374 loss={:.3f}, wps=49604, wpb=277035.016, num_updates={}, lr=4.8e-06, gnorm=3.901, loss_scale={}, wall=1061\n"
    text, scale = told(FAIRSEQ, 128.0, 11), 128.0 / 2**11
    for n, times in enumerate((0, 0, 1, 3, 0, 0), 1):
        text += row.format(100 * n, 14.5 - 0.4 * n, 100 * n - 10 - times, round(scale, 3)) + told(FAIRSEQ, scale, times)
        scale /= 2**times
        assert found_in(text) is None
    assert found_in(told(FAIRSEQ, 128.0, 16) + row.format(100, 14.5, 84, 0.002)) is None


def test_a_few_overflows_in_a_row_far_above_the_bottom() -> None:
    assert found_in(rows(0, 300) + "".join(halved(DEEPSPEED, 65536.0, 7)) + rows(300, 320)) is None
    assert found_in(rows(0, 300) + "".join(halved(DEEPSPEED, 32.0, 4)) + rows(300, 320)) is None


def test_what_was_over_is_over() -> None:
    finding = found_in(rows(0, 300) + "".join(halved(DEEPSPEED, 64.0, 6)) + rows(300, 600))
    assert finding.status == "resolved"


@pytest.mark.parametrize("scale", [1.0, 0.0, 0.25, math.inf, math.nan, 128.0])
def test_a_scale_that_stands_still(assert_silent: Any, run: Any, scale: float) -> None:
    """bf16 and fp32 log 1 or 0; a sum of losses rests healthily below 1."""
    assert_silent(run(train_loss=[*map(loss_at, range(300))], loss_scale=[scale] * 300), RULE)


@pytest.mark.parametrize("odd", [math.nan, math.inf])
def test_a_healthy_scale_with_gaps(assert_silent: Any, run: Any, odd: float) -> None:
    scale = [2.0 ** (16 - min(n, 12)) * 2 ** (n // 200) for n in range(1000)]
    scale[5::7] = [odd] * len(scale[5::7])
    assert_silent(run(train_loss=[*map(loss_at, range(1000))], loss_scale=scale), RULE)


def test_the_same_is_found_one_by_one_and_at_a_stroke() -> None:
    """Skipped steps ask for a look by themselves, in a long table as in a stream."""
    events = [
        {"type": "metrics", "step": n, "loss": loss_at(min(n, 3000)), "loss_scale": scale, "skipped_steps": float(max(0, n - 3000))}
        for n, scale in enumerate([256.0] * 3001 + [2.0 ** (8 - n) for n in range(1, 12)])
    ]  # fmt: skip
    one, other = Engine(), Engine()
    other.observe_all(events)
    for event in events:
        one.observe(event)
    assert one.findings() == other.findings()
    (finding,) = (finding for finding in one.findings() if finding.rule == RULE)
    assert finding.first_step == 3001 and finding.detected_step <= 3009
