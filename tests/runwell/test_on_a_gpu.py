"""Numbers on a real CUDA device: `log()` waits for none of its work, and nothing is lost or mixed. Skipped without one."""

from __future__ import annotations

import math
from typing import Any

import pytest

from runwell.devices import MAX_WAITING
from runwell.run import Run
from tests.logged import points

BUSY_CYCLES = 6_000_000_000
"""About three seconds of a GPU that does nothing else: far longer than the calls that are made meanwhile."""


@pytest.fixture
def torch() -> Any:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA GPU")
    # What is called for the first time is loaded first, and that waits for the device.
    first = torch.ones((), device="cuda")
    first.mul(2).add_(1).fill_(1)
    return torch


@pytest.fixture
def warm(torch: Any, run: Run) -> Run:
    """A run that has logged a number of the GPU before: the first one makes the places for all."""
    run.log({"first": torch.ones((), device="cuda")}, step=0)
    run.flush(timeout=0)
    torch.cuda.synchronize()
    return run


def busy(torch: Any) -> Any:
    """Gives the current stream work for seconds; the event behind that work."""
    torch.cuda._sleep(BUSY_CYCLES)
    return torch.cuda.current_stream().record_event()


def test_log_returns_while_the_gpu_works_and_the_number_is_that_of_the_call(torch: Any, warm: Run) -> None:
    loss = torch.full((), 1.5, device="cuda", requires_grad=True)
    done = busy(torch)
    logged = loss * 2
    warm.log({"loss": logged, "lr": 0.1}, step=1)
    warm.log({"lr": 0.2}, step=2)
    logged.detach().fill_(99)
    warm._late.look()
    assert not done.query(), (
        "the calls and the sender's look came back before the GPU had done what it was asked before"
    )
    assert points(warm)[1:] == [{"step": 2, "lr": 0.2}], "plain numbers do not wait for those of a GPU"
    warm.flush(timeout=0)
    assert done.query() and {"step": 1, "loss": 3.0, "lr": 0.1} in points(warm)


def test_many_numbers_on_their_way_hold_up_nothing(torch: Any, warm: Run) -> None:
    """A hundred and twenty, in some 400 operations: past about a thousand CUDA itself holds up whoever asks for more."""
    value = torch.zeros((), device="cuda")
    done = busy(torch)
    for step in range(1, 61):
        value += 1
        warm.log({"a": value, "b": value}, step=step)
    assert not done.query(), "page-locked memory for each of them would have waited for the GPU"
    warm.flush(timeout=0)
    assert points(warm)[1:] == [{"step": step, "a": float(step), "b": float(step)} for step in range(1, 61)]


def test_a_number_of_another_stream_is_taken_in_that_stream_s_order(torch: Any, warm: Run) -> None:
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        value = torch.zeros((), device="cuda")
        done = busy(torch)
        value += 7
        warm.log({"a": value}, step=1)
        assert not done.query()
        value += 1
    warm.flush(timeout=0)
    assert points(warm)[1:] == [{"step": 1, "a": 7.0}]


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16", "int64", "bool"])
def test_every_kind_of_number(torch: Any, run: Run, dtype: str) -> None:
    run.log({"a": torch.ones((1, 1), dtype=getattr(torch, dtype), device="cuda")}, step=1)
    run.flush(timeout=0)
    assert points(run) == [{"step": 1, "a": 1.0}]


def test_non_finite_numbers_come_as_they_are(torch: Any, run: Run) -> None:
    zero = torch.zeros((), device="cuda", dtype=torch.bfloat16)
    run.log({"nan": zero / zero, "up": 1 / zero, "down": -1 / zero}, step=1)
    run.flush(timeout=0)
    (point,) = points(run)
    assert math.isnan(point["nan"]) and point["up"] == math.inf and point["down"] == -math.inf


def test_more_than_may_wait_arrive_all_in_order(torch: Any, run: Run) -> None:
    steps = MAX_WAITING + 500
    counter = torch.zeros((), device="cuda")
    for step in range(steps):
        run.log({"a": counter}, step=step)
        counter += 1
    run.flush(timeout=0)
    assert [(point["step"], point["a"]) for point in points(run)] == [(step, float(step)) for step in range(steps)]
