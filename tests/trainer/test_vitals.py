"""What is measured: means over all passes since the last report, time without pauses, names of the one table."""

from __future__ import annotations

import math

import pytest
import torch

from runwell.metrics import BY_NAME
from trainer.gpu import GpuMeter
from trainer.model import GPT, Shape
from trainer.vitals import Vitals

MODEL = GPT(Shape(vocab_size=9, n_layer=3, n_head=1, n_embd=8, n_ff=8, context_length=8))
NAMES = [name for name, _ in MODEL.named_parameters()]


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def vitals(clock: Clock) -> Vitals:
    return Vitals(MODEL, 64, 1000, GpuMeter(torch.device("cpu")), clock)


def step(vitals: Vitals, clock: Clock, seconds: float, *losses: float, waited: float = 0.0) -> None:
    for loss in losses:
        vitals.loss(torch.tensor(loss))
    vitals.waited(waited)
    clock.now += seconds
    vitals.step_done()


def norms() -> torch.Tensor:
    return torch.zeros(len(NAMES))


def test_the_loss_is_the_mean_over_all_passes_since_the_last_report(vitals: Vitals, clock: Clock) -> None:
    step(vitals, clock, 1.0, 4.0, 3.0)
    step(vitals, clock, 1.0, 2.0, 1.0)
    assert vitals.report(2, 1e-3, norms())["train/loss"] == 2.5
    step(vitals, clock, 1.0, 7.0)
    assert vitals.report(3, 1e-3, norms())["train/loss"] == 7.0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_one_pass_that_is_not_finite_is_seen(vitals: Vitals, clock: Clock, bad: float) -> None:
    step(vitals, clock, 1.0, 2.0, bad)
    values = vitals.report(1, 1e-3, norms())
    assert values["train/loss"] == bad or (math.isnan(bad) and math.isnan(values["train/loss"]))


def test_norms_are_total_first_and_last_block(vitals: Vitals, clock: Clock) -> None:
    step(vitals, clock, 1.0, 2.0)
    given = norms()
    given[NAMES.index("tokens.weight")] = 12.0
    given[NAMES.index("blocks.0.attention.qkv.weight")] = 3.0
    given[NAMES.index("blocks.0.norm1.weight")] = 4.0
    given[NAMES.index("blocks.2.feed_forward.up.weight")] = 84.0
    values = vitals.report(1, 1e-3, given)
    assert values["train/grad_norm"] == pytest.approx(math.sqrt(12**2 + 5**2 + 84**2))
    assert (values["train/grad_norm_first"], values["train/grad_norm_last"]) == (5.0, 84.0)


def test_norms_that_are_not_finite_stay(vitals: Vitals, clock: Clock) -> None:
    step(vitals, clock, 1.0, 2.0)
    values = vitals.report(1, 1e-3, torch.full((len(NAMES),), math.inf))
    assert values["train/grad_norm"] == values["train/grad_norm_first"] == math.inf


def test_throughput_leaves_pauses_out_and_the_step_time_is_a_median(vitals: Vitals, clock: Clock) -> None:
    step(vitals, clock, 1.0, 2.0, waited=0.25)
    step(vitals, clock, 2.0, 2.0, waited=0.75)
    clock.now += 50  # an evaluation
    vitals.pause()
    step(vitals, clock, 5.0, 2.0, waited=0.5)
    values = vitals.report(3, 1e-3, norms())
    assert values["perf/tokens_per_second"] == 64 * 3 / 8.0
    assert values["perf/step_seconds"] == 2.0 and values["perf/data_seconds"] == 0.5


def test_tokens_and_epochs_count_from_the_start_of_the_run(vitals: Vitals, clock: Clock) -> None:
    step(vitals, clock, 1.0, 2.0)
    values = vitals.report(500, 1e-3, norms())
    assert (values["train/tokens"], values["train/epoch"], values["train/learning_rate"]) == (32_000, 32.0, 1e-3)


def test_every_name_is_in_the_table_and_optional_ones_come_when_given(vitals: Vitals, clock: Clock) -> None:
    step(vitals, clock, 1.0, 2.0)
    plain = vitals.report(1, 1e-3, norms())
    step(vitals, clock, 1.0, 2.0)
    full = vitals.report(2, 1e-3, norms(), torch.tensor(1e-3), 65536.0)
    assert set(full) - set(plain) == {"train/update_ratio", "train/loss_scale"}
    assert full["train/update_ratio"] == pytest.approx(1e-3) and full["train/loss_scale"] == 65536.0
    assert set(full) <= set(BY_NAME)
    assert set(BY_NAME) - set(full) == {"val/loss", "gpu/memory_gib", "gpu/memory_total_gib", "gpu/utilization"}


def test_a_gpu_reports_memory_and_utilisation_now_and_then(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    class Card:
        total_memory = 8 * 2**30

    asked: list[float] = []
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 2**30)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Card())
    monkeypatch.setattr(torch.cuda, "utilization", lambda device: asked.append(clock.now) or 87)
    meter = GpuMeter(torch.device("cuda"), clock)
    assert meter.read() == {"gpu/memory_gib": 1.0, "gpu/memory_total_gib": 8.0, "gpu/utilization": 87.0}
    clock.now += 0.5
    assert set(meter.read()) == {"gpu/memory_gib", "gpu/memory_total_gib"}
    clock.now += 0.6
    assert "gpu/utilization" in meter.read() and asked == [100.0, 101.1]


def test_a_driver_that_refuses_is_asked_once(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def refuses(device: object) -> int:
        asked.append(1)
        raise RuntimeError("no NVML")

    monkeypatch.setattr(torch.cuda, "utilization", refuses)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 0)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: type("Card", (), {"total_memory": 1}))
    meter = GpuMeter(torch.device("cuda"), clock)
    for _ in range(3):
        assert set(meter.read()) == {"gpu/memory_gib", "gpu/memory_total_gib"}
        clock.now += 100
    assert len(asked) == 1
