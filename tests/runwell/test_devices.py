"""Numbers on an accelerator: the training thread never reads them, another thread does, and nothing is lost or mixed."""

from __future__ import annotations

import sys
import threading
import types
from typing import Any

import numpy as np
import pytest

from runwell.devices import MAX_WAITING, Held, Late, elsewhere
from runwell.frames import decode_frames
from runwell.run import Run
from tests.logged import points


class Device:
    def __init__(self, kind: str) -> None:
        self.type = kind


class Scalar:
    """A number on a device: says which thread read it, and can be held back as a busy device would."""

    shape = ()

    def __init__(self, value: float, kind: str = "cuda", ready: threading.Event | None = None) -> None:
        self.value, self.device, self.ready = value, Device(kind), ready
        self.readers: list[threading.Thread] = []

    def item(self) -> float:
        self.readers.append(threading.current_thread())
        if self.ready is not None:
            assert self.ready.wait(60)
        return self.value

    def __float__(self) -> float:
        return self.item()


def test_a_number_on_a_gpu_is_read_by_another_thread(run: Run) -> None:
    losses = [Scalar(step / 2) for step in range(5)]
    for step, loss in enumerate(losses):
        run.log({"loss": loss, "lr": 0.1}, step=step)
    run._sender.finish(10)  # what the thread does by itself every tenth of a second
    readers = {thread.name for loss in losses for thread in loss.readers}
    assert readers == {"runwell-sender"}
    assert points(run) == [{"step": step, "loss": step / 2, "lr": 0.1} for step in range(5)]


def test_log_returns_while_the_gpu_is_busy_and_plain_numbers_go_past_it(run: Run) -> None:
    ready = threading.Event()
    run.log({"loss": Scalar(1.5, ready=ready)}, step=1)
    run.log({"lr": 0.1}, step=2)
    assert points(run) == [{"step": 2, "lr": 0.1}], "what is known is safe at once"
    ready.set()
    run.flush(timeout=0)
    assert {"step": 1, "loss": 1.5} in points(run)


def test_a_rewind_and_the_end_come_after_what_was_logged_before_them(run: Run) -> None:
    run.log({"loss": Scalar(1.0)}, step=7)
    run.rewind(3)
    run.log({"loss": Scalar(2.0)}, step=4)
    run.finish(timeout=0)
    kinds = []
    for path in sorted((run._environment.spool / run.id).glob("*/*.seg")):
        kinds += [event["type"] for event in decode_frames(path.read_bytes(), torn=True).batch.events]
    assert kinds == ["run", "metrics", "rewind", "metrics", "state"]


def test_a_gpu_that_fails_costs_its_own_number_alone(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Scalar):
        def item(self) -> float:
            raise RuntimeError("device-side assert")

    run.log({"loss": Broken(1.0), "val": Scalar(2.0), "lr": 0.1}, step=1)
    run.flush(timeout=0)
    assert points(run) == [{"step": 1, "val": 2.0, "lr": 0.1}]
    assert "metric 'loss' cannot be read (RuntimeError('device-side assert'))" in caplog.text


@pytest.mark.parametrize("device", ["cpu", "meta", None])
def test_what_is_here_is_written_before_log_returns(run: Run, device: str | None) -> None:
    value = Scalar(2.5, kind="cpu")
    value.device = Device(device) if device else None  # type: ignore[assignment]
    run.log({"loss": value}, step=0)
    assert points(run) == [{"step": 0, "loss": 2.5}]
    assert value.readers == [threading.current_thread()]


def test_how_a_device_is_told_by_what_libraries_say() -> None:
    def on(device: Any) -> bool:
        return elsewhere(types.SimpleNamespace(device=device))

    assert on(Device("cuda")) and on(Device("mps")) and on(types.SimpleNamespace(platform="gpu"))
    assert on("/job:localhost/replica:0/task:0/device:GPU:0")
    assert not on("cpu") and not on(types.SimpleNamespace(platform="cpu")) and not on("/job:localhost/device:CPU:0")
    assert not on(lambda: "cuda"), "a method is no device"
    assert not elsewhere(1.5) and not elsewhere(np.float32(1)) and not elsewhere(np.zeros(()))


def test_a_tensor_is_copied_on_its_own_stream_and_waited_for_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """What PyTorch is asked for: a copy that does not wait, and an event behind it on the stream of that device."""
    asked: list[Any] = []

    class Tensor:
        is_cuda, device, shape = True, Device("cuda"), ()

        def numel(self) -> int:
            return 1

        def detach(self) -> Tensor:
            return self

        def to(self, where: str, non_blocking: bool) -> float:
            asked.append((where, non_blocking))
            return 3.5

    event = types.SimpleNamespace(synchronize=lambda: asked.append("waited"))
    stream = types.SimpleNamespace(record_event=lambda: event)
    cuda = types.SimpleNamespace(current_stream=lambda device: asked.append(device) or stream)
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(Tensor=Tensor, cuda=cuda))
    held = Held(Tensor())
    assert asked == [("cpu", True), Tensor.device], "nothing was waited for"
    assert held.read() == 3.5 and asked[-1] == "waited"


def test_real_tensors_without_a_device_to_wait_for() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="has 3 elements"):
        Held(torch.zeros(3))
    loss = torch.tensor([2.0], requires_grad=True)
    assert Held(loss * 2).read() == 4.0
    assert not elsewhere(loss) and not elsewhere(torch.zeros((), device="meta"))


def test_what_waits_is_bounded() -> None:
    written: list[int] = []
    late = Late(lambda values, step, time: written.append(step), lambda name, why: pytest.fail(why))
    for step in range(MAX_WAITING + 1):
        late.add({"loss": Held(Scalar(1.0))}, step, 0.0)
    assert written == list(range(MAX_WAITING + 1)), "the oldest were waited for"
    assert not late._waiting


def test_a_forked_child_does_not_write_what_waits_in_its_parent(run: Run) -> None:
    run.log({"loss": Scalar(1.0)}, step=1)
    before = run._late
    run._reopen_in_child()
    assert run._late is not before and not run._late._waiting
