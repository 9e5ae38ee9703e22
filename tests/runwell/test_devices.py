"""Numbers on an accelerator: the training thread never reads them, another thread does, and nothing is lost or mixed."""

from __future__ import annotations

import math
import sys
import threading
import types
import warnings
from typing import Any

import numpy as np
import pytest

from runwell import api, devices
from runwell.devices import LANDINGS, MAX_WAITING, Held, Landings, Late, elsewhere
from runwell.frames import decode_frames
from runwell.run import Run
from tests.logged import points, stored


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
    run._writer.sender.finish(10)  # what the thread does by itself every tenth of a second
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


def test_a_loss_that_still_holds_its_gradient_is_read_as_pytorch_does_not_warn_of(run: Run) -> None:
    class Loss(Scalar):
        requires_grad = True

        def __float__(self) -> float:
            warnings.warn("converting a tensor with requires_grad=True to a scalar", stacklevel=2)
            return self.item()

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        run.log({"loss": Loss(2.5, kind="cpu"), "lr": 0.1}, step=0)
    assert points(run) == [{"step": 0, "loss": 2.5, "lr": 0.1}] and not told


def test_how_a_device_is_told_by_what_libraries_say() -> None:
    def on(device: Any) -> bool:
        return elsewhere(types.SimpleNamespace(device=device))

    assert on(Device("cuda")) and on(Device("mps")) and on(types.SimpleNamespace(platform="gpu"))
    assert on("/job:localhost/replica:0/task:0/device:GPU:0")
    assert not on("cpu") and not on(types.SimpleNamespace(platform="cpu")) and not on("/job:localhost/device:CPU:0")
    assert not on(lambda: "cuda"), "a method is no device"
    assert not elsewhere(1.5) and not elsewhere(np.float32(1)) and not elsewhere(np.zeros(()))


class Cuda:
    """What PyTorch is asked for, as if there were a CUDA device: page-locked places, copies into them, events."""

    float64 = "float64"

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.busy = False
        asked = self.asked

        class Place:
            value = math.nan

            def copy_(self, tensor: Cuda.Tensor, non_blocking: bool) -> None:
                asked.append(("copy", non_blocking))
                self.value = tensor.value

            def item(self) -> float:
                return self.value

        class Event:
            def __init__(self, blocking: bool) -> None:
                assert blocking, "a thread that waits must not spin"

            def record(self, stream: str) -> None:
                asked.append(("event", stream))

            def query(_) -> bool:
                return not self.busy

            def synchronize(self) -> None:
                asked.append("waited")

        def empty(count: int, dtype: str, pin_memory: bool) -> Any:
            assert dtype == "float64" and pin_memory
            asked.append(("page-locked", count))
            return types.SimpleNamespace(unbind=lambda: [Place() for _ in range(count)])

        self.empty = empty
        self.cuda = types.SimpleNamespace(Event=Event, current_stream=lambda device: f"stream of {device}")

    class Tensor:
        is_cuda, shape = True, ()

        def __init__(self, value: float, device: str = "cuda:0") -> None:
            self.value, self.device = value, device

        def numel(self) -> int:
            return 1

        def is_complex(self) -> bool:
            return False

        def detach(self) -> Cuda.Tensor:
            return self

        def reshape(self, shape: tuple[int, ...]) -> Cuda.Tensor:
            return self


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Cuda:
    torch = Cuda()
    monkeypatch.setitem(sys.modules, "torch", torch)
    return torch


def test_a_tensor_is_copied_on_its_own_stream_and_waited_for_there(cuda: Cuda) -> None:
    held = Held(Cuda.Tensor(3.5), Landings())
    assert cuda.asked == [("page-locked", LANDINGS), ("copy", True), ("event", "stream of cuda:0")], (
        "nothing was waited for"
    )
    assert held.read() == 3.5 and cuda.asked[-1] == "waited"


def test_page_locked_memory_is_asked_for_once_and_again_only_when_all_of_it_is_on_its_way(cuda: Cuda) -> None:
    landings = Landings()
    for step in range(3 * LANDINGS):
        assert Held(Cuda.Tensor(step), landings).read() == step
    assert cuda.asked.count(("page-locked", LANDINGS)) == 1
    flying = [Held(Cuda.Tensor(step), landings) for step in range(LANDINGS + 1)]
    assert cuda.asked.count(("page-locked", LANDINGS)) == 2
    assert [held.read() for held in flying] == list(range(LANDINGS + 1)), "each has a place of its own"
    Held(Cuda.Tensor(1.0, device="cuda:1"), landings)
    assert cuda.asked.count(("page-locked", LANDINGS)) == 3, "an event belongs to one device"


def test_a_look_takes_what_has_arrived_and_waits_for_nothing(cuda: Cuda) -> None:
    landings, written = Landings(), list[int]()
    late = Late(lambda values, step, time: written.append(step), lambda name, why: pytest.fail(why))
    late.add({"loss": Held(Cuda.Tensor(1.0), landings), "lr": 0.1}, 1, 0.0)
    late.look()
    cuda.busy = True
    late.add({"loss": Held(Cuda.Tensor(2.0), landings), "lr": 0.1}, 2, 0.0)
    late.look()
    assert written == [1] and late.waits(), "a device that hangs holds up this record, not the heartbeat"
    late.settle()
    assert written == [1, 2] and not late.waits()


def test_a_device_that_failed_is_not_waited_for(cuda: Cuda, monkeypatch: pytest.MonkeyPatch) -> None:
    landings, refused = Landings(), list[str]()
    late = Late(lambda values, step, time: pytest.fail("nothing is known"), lambda name, why: refused.append(why))
    held = Held(Cuda.Tensor(1.0), landings)

    def fails() -> None:
        raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(held._value._event, "query", fails)
    monkeypatch.setattr(held._value._event, "synchronize", fails)
    late.add({"loss": held}, 1, 0.0)
    late.look()
    assert not late.waits() and "device-side assert" in refused[0]


def test_real_tensors_without_a_device_to_wait_for() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="has 3 elements"):
        Held(torch.zeros(3))
    with pytest.raises(TypeError, match="complex"):
        Held(torch.zeros((), dtype=torch.complex64))
    loss = torch.tensor([2.0], requires_grad=True)
    held, later = Held(loss * 2), Held(loss)
    loss.detach().fill_(9)
    assert held.read() == 4.0 and later.read() == 2.0, "as they were when they were logged"
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


def test_the_first_number_of_a_forked_child_is_not_lost(run: Run) -> None:
    run._reopen_in_child()
    run.log({"loss": Scalar(2.0)}, step=1)
    run.finish(timeout=0)
    assert points(run) == [{"step": 1, "loss": 2.0}]


def test_a_number_that_arrives_late_is_no_sign_that_the_script_went_on(run: Run) -> None:
    ready = threading.Event()
    run.log({"loss": Scalar(1.0, ready=ready)}, step=1)
    api._leaving.fails(SystemExit(1), caught=True)
    ready.set()
    run._late.settle()
    api._leaving.ends()
    assert (run.ended, stored(run)[-1]["reason"]) == ("crashed", "SystemExit: 1")


def test_the_end_waits_for_a_record_that_another_thread_has_in_hand() -> None:
    written: list[int] = []
    inside, go_on = threading.Event(), threading.Event()

    def write(values: dict[str, float], step: int, time: float) -> None:
        inside.set()
        assert go_on.wait(60)
        written.append(step)

    late = Late(write, lambda name, why: pytest.fail(why))
    late.add({"loss": Held(Scalar(1.0))}, 1, 0.0)
    sender, ender = threading.Thread(target=late.look), threading.Thread(target=late.settle)
    sender.start()
    assert inside.wait(60)
    ender.start()
    ender.join(0.05)
    assert ender.is_alive() and written == []
    go_on.set()
    ender.join(60)
    sender.join(60)
    assert written == [1]


def test_a_signal_handler_that_ends_the_run_waits_for_nobody_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "OTHER_THREAD_SECONDS", 0.01)
    spool_lock, inside = threading.Lock(), threading.Event()

    def write(values: dict[str, float], step: int, time: float) -> None:
        inside.set()
        with spool_lock:
            pass

    late = Late(write, lambda name, why: pytest.fail(why))
    late.add({"loss": Held(Scalar(1.0))}, 1, 0.0)
    sender = threading.Thread(target=late.look)
    with spool_lock:  # the main thread is in the middle of a record
        sender.start()
        assert inside.wait(60)
        late.settle()
    sender.join(60)
