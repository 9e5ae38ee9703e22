"""Overflows of fp16 training, which are told in lines without a step, become points of the loss scale; none is lost."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics import Engine
from runwell.overflows import Overflows
from runwell.printed import numbers_in
from runwell.runlog import read_events

BAR = " 14%|#4        | {}/2724 [13:58:09<86:18:35, 132.44s/it]"
DEEPSPEED = (
    "[2023-01-02 22:16:00,018] [INFO] [loss_scaler.py:181:update_scale] [deepspeed] OVERFLOW! Rank 0 Skipping step. "
)
APEX = "Gradient overflow.  Skipping step, loss scaler 0 reducing loss scale to {}\n"


def points(text: str) -> list[tuple[int, float | None, float | None]]:
    """(step, loss scale, skipped steps) of the events that tell any of the two; nothing may be told to be wrong."""
    told: list[str] = []
    events = [*read_events(io.StringIO(text, newline=""), on_problem=told.append)]
    assert not told
    found = [(int(event["step"]), event.get("loss_scale"), event.get("skipped_steps")) for event in events]
    return [point for point in found if point[1:] != (None, None)]


@pytest.mark.parametrize(
    ("line", "before", "after"),
    [
        (DEEPSPEED + "Attempted loss scale: 64, reducing to 32", 64, 32),
        (DEEPSPEED + "Attempted loss scale: 65536, but hysteresis is 2. Reducing hysteresis to 1", 65536, 65536),
        (" [deepscale] OVERFLOW! Rank 0 Skipping step. Attempted loss scale: 262144, reducing to 262144", 262144, 262144),
        ("[deepspeed] fp16 dynamic loss scale overflow! Skipping step. Attempted loss scale: 65536.0, reducing to 32768.0", 65536, 32768),
        ("[Rank 0] Overflow detected. Skipping step. Attempted loss scale: 1, reducing to 1", 1, 1),
        ("Gradient overflow.  Skipping step, loss scaler 0 reducing loss scale to 32768.0", 65536, 32768),
        ("Rank 3 :: Gradient overflow.  Skipping step, reducing loss scale to 4.5569512622227484e-305", 2 * 4.5569512622227484e-305, 4.5569512622227484e-305),
        ("Gradient overflow.  Skipping step, Loss scale reduces to 4096.0", 8192, 4096),
        ("| WARNING: overflow detected, setting loss scale to: 0.25", 0.5, 0.25),
        ("2023-01-02 | INFO | fairseq.trainer | NOTE: gradient overflow detected, ignoring gradient, setting loss scale to: 64.0", 128, 64),
        (" WARNING: Overflow detected, setting loss scale to 32768.0", 65536, 32768),
        ("OVERFLOW! Scale value 4294967296 -> 2147483648", 4294967296, 2147483648),
    ],
)  # fmt: skip
def test_forms(line: str, before: float, after: float) -> None:
    rows = Overflows().of_line(line)[1]
    assert rows[0]["loss_scale"] == before and rows[-1] == {"loss_scale": after, "skipped_steps": 1}


@pytest.mark.parametrize(
    "line",
    [
        "Overflow of the stack at frame 12",
        "fp16 ........ {'loss_scale': 0, 'initial_scale_power': 16, 'hysteresis': 2}",
        "saved before the overflow, 32 samples of scale",
        "The scale is 4 and nothing flows over",
    ],
)
def test_prose(line: str) -> None:
    assert Overflows().of_line(line) == (line, [])


def test_deepspeeds_between_bars_and_rows() -> None:
    lines = [
        BAR.format(377),
        *(BAR.format(378 + at) + DEEPSPEED + f"Attempted loss scale: {64 >> at}, reducing to {32 >> at}\n" for at in (0, 1)),
        BAR.format(380),
        "{'loss': 2.25, 'learning_rate': 0.0002, 'epoch': 0.28}\n",
        *(BAR.format(378 + at) + DEEPSPEED + f"Attempted loss scale: {64 >> at}, reducing to {32 >> at}\n" for at in (2, 3)),
        "{'loss': 2.5, 'learning_rate': 0.0002, 'epoch': 0.29}\n",
    ]  # fmt: skip
    text = "\n".join(lines)
    assert points(text) == [(0, 64, None), (0, 32, 1), (0, 16, 2), (0, 8, 3), (0, 4, 4)]
    rows = [event for event in read_events(io.StringIO(text)) if "loss" in event]
    assert [(row["step"], row["loss"]) for row in rows] == [(0, 2.25), (1, 2.5)], (
        "rows are counted as without overflows"
    )


def test_fairseqs_below_its_row() -> None:
    row = "| epoch 027 | loss 6.343 | ppl 31.65 | wps 164346 | num_updates 10198 | lr 0.0006 | gnorm 0.390 | loss_scale 0.500 | wall 23080\n"
    text = row + "".join(f"| WARNING: overflow detected, setting loss scale to: {0.25 / 2**n}\n" for n in range(3))
    assert points(text) == [(10198, 0.5, None), (10198, 0.25, 1), (10198, 0.125, 2), (10198, 0.0625, 3)]


def test_the_scale_that_rose_in_between_is_told_and_ranks_are_one() -> None:
    """Who tells the new scale alone told it twice because it rose in between, or because there are two ranks."""
    row = "step {}: loss 2.5\n"
    text = (
        row.format(1) + "".join(2 * APEX.format(float(scale)) for scale in (16, 8)) + row.format(900) + APEX.format(8.0)
    )
    assert points(text) == [(1, 32, None), (1, 16, 1), (1, 8, 2), (900, 16, None), (900, 8, 3)]


def test_megatrons_rows_of_skipped_steps_tell_no_loss() -> None:
    row = " iteration {:8}/  508626 | consumed samples: 288 | learning rate: 0.000E+00 |{} loss scale: {} | number of skipped iterations: {:3} | number of nan iterations:   0 |\n"
    text = (
        row.format(1, "", 4294967296.0, 1)
        + row.format(2, "", 2147483648.0, 1)
        + " WARNING: Overflow detected, setting loss scale to 1073741824.0\n"
        + row.format(3, " lm loss: nan |", 1073741824.0, 1)
        + row.format(4, " lm loss: 1.1E+01 |", 1073741824.0, 0)
    )
    assert points(text) == [
        (1, 4294967296, 1), (2, 2147483648, 2), (2, 1073741824, 3), (3, 1073741824, 3), (4, 1073741824, 3),
    ]  # fmt: skip


@given(
    st.lists(
        st.from_regex(r"(?i)\\A(overflow|loss|scale|to|reducing|skipped iterations|[ :=/|0-9.e+,>-]|nan|inf){0,30}\\Z")
    )
)
def test_no_line_breaks_it(lines: list[str]) -> None:
    overflows = Overflows()
    for line in lines:
        before, rows = overflows.of_line(line)
        assert line.startswith(before) and all(row["loss_scale"] >= 0 for row in rows)
        overflows.with_count(numbers_in(before))


def test_a_bar_with_a_loss_before_it_is_a_row_of_its_own() -> None:
    text = "Epoch 0:  10%|#  | 100/1000 [00:10<01:40,  9.5it/s, loss=2.5]" + APEX.format(32768.0)
    assert points(text) == [(100, 65536, None), (100, 32768, 1)]


def test_overflows_alone_do_not_make_a_printed_log_of_json_lines() -> None:
    text = '{"step": 0, "lo\n' + APEX.format(32768.0) + '{"step": 1, "loss": 2.5}\n{"step": 2, "loss": 2.25}\n'
    told: list[str] = []
    events: list[Any] = [*read_events(io.StringIO(text), on_problem=told.append)]
    assert [event["step"] for event in events] == [1, 2] and len(told) == 2


def test_the_engine_counts_every_one_and_sees_no_rewind() -> None:
    row = "iter {}: loss 2.5\n"
    text = "".join(row.format(10 * n) + "".join(APEX.format(2.0 ** (15 - 2 * n - k)) for k in (0, 1)) for n in range(7))
    engine = Engine()
    engine.observe_all(read_events(io.StringIO(text)))
    loss, skipped = engine.series("train_loss"), engine.series("skipped_steps")
    assert loss is not None and skipped is not None
    assert loss.raw_steps.tolist() == list(range(0, 70, 10))
    assert skipped.last == 14 and skipped.count == 14 and skipped.last_step == 60
