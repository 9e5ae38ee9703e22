"""A run as a script sees it: what `log` and its kin take, what they say, and that they never raise into training."""

from __future__ import annotations

import math
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import runwell
from runwell.run import Run
from tests.logged import points, stored


def test_the_first_record_says_who_runs(home: Path) -> None:
    run = runwell.init("p", "n", {"lr": 3e-4, "hf_token": "s3cr3t"}, tags=("a", "b"))
    run.finish(timeout=0)
    event = stored(run)[0]
    assert event["type"] == "run" and event["project"] == "p" and event["name"] == "n" and event["tags"] == ["a", "b"]
    assert event["config"] == {"lr": 3e-4, "hf_token": "[hidden]"}
    assert event["pid"] > 0 and event["host"] and event["pid_started_at"] > 1e9
    assert not any(b"s3cr3t" in path.read_bytes() for path in home.rglob("*") if path.is_file()), (
        "never written anywhere"
    )


def test_settings_that_become_known_later_are_added(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    run.update_config({"vocab_size": 65, "limit": math.inf, "hf_token": "s3cr3t"})
    (event,) = [event for event in stored(run) if event["type"] == "config"]
    assert event["config"] == {"vocab_size": 65, "limit": "Infinity", "hf_token": "[hidden]"}
    run.update_config(5)  # type: ignore[arg-type]
    run.update_config({"words": ["word"] * 200_000})
    run.log({"x": 1.0}, step=0)
    assert points(run) == [{"step": 0, "x": 1.0}], "training goes on"
    assert "update_config() takes a mapping of settings, not 5" in caplog.text
    assert "the config record was not written: the record is too large" in caplog.text


def test_what_is_known_of_the_data_is_written_with_its_step(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    run.log({"x": 1.0}, step=7)
    run.data({"train_tokens": 5_000, "overlap": math.nan, "issues": ["one"], "time": "never"})
    (event,) = [event for event in stored(run) if event["type"] == "data"]
    told = {name: value for name, value in event.items() if name not in ("type", "time")}
    assert math.isnan(told.pop("overlap"))
    assert told == {"step": 7, "train_tokens": 5_000, "issues": ["one"]}
    run.data("much")  # type: ignore[arg-type]
    assert "data() takes a mapping of facts, not 'much'" in caplog.text


def test_a_huge_config_is_cut_to_its_keys(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = runwell.init(config={"words": ["word"] * 100_000, "lr": 1}, tags="one")
    run.finish(timeout=0)
    assert stored(run)[0]["config"] == {"keys": ["lr", "words"]} and stored(run)[0]["tags"] == ["one"]
    assert "bytes is too large (262,144 allowed): only its keys are kept" in caplog.text


def test_a_large_config_that_fits_is_taken_whole(home: Path) -> None:
    run = runwell.init(config={"numbers": [1] * 120_000})
    run.finish(timeout=0)
    assert len(stored(run)[0]["config"]["numbers"]) == 120_000


def test_the_process_start_is_what_psutil_says() -> None:
    psutil = pytest.importorskip("psutil")
    from runwell.process import started_at

    assert started_at() == pytest.approx(psutil.Process().create_time(), abs=0.02)


def test_numbers_of_every_make_and_non_finite_ones(run: Run) -> None:
    run.log({"f": 1.5, "i": 2, "b": True, "np": np.float32(0.5), "zero_d": np.array(3.0)}, step=1)
    run.log({"n": math.nan, "p": math.inf, "m": -math.inf, "q": np.float32("nan")}, step=2)
    first, second = points(run)
    assert first == {"step": 1, "f": 1.5, "i": 2.0, "b": 1.0, "np": 0.5, "zero_d": 3.0}
    assert math.isnan(second["n"]) and second["p"] == math.inf and second["m"] == -math.inf and math.isnan(second["q"])


def test_tensors_are_taken_without_torch(run: Run) -> None:
    torch = pytest.importorskip("torch")
    run.log(
        {
            "t": torch.tensor(1.5),
            "g": torch.tensor([2.5], requires_grad=True),
            "h": torch.tensor(0.5, dtype=torch.bfloat16),
        }
    )
    assert points(run) == [{"step": 0, "t": 1.5, "g": 2.5, "h": 0.5}]


def test_nested_mappings_are_flattened(run: Run) -> None:
    run.log({"train": {"loss": 1, "lr": {"adam": 2}}, "x": 3}, step=0)
    assert points(run) == [{"step": 0, "train/loss": 1.0, "train/lr/adam": 2.0, "x": 3.0}]


def test_steps_count_by_themselves_from_the_last_one(run: Run) -> None:
    run.log({"a": 1})
    run.log({"a": 1})
    run.log({"a": 1}, step=10)
    run.log({"a": 1})
    run.rewind(5)
    run.log({"a": 1})
    run.log({"a": 1}, step=np.int64(8))
    run.log({"a": 1}, step=9.0)  # type: ignore[arg-type]
    run.log({"a": 1}, step=2**53)
    assert [point["step"] for point in points(run)] == [0, 1, 10, 11, 6, 8, 9, 2**53]


def test_past_the_last_step_it_does_not_count_on(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    run.log({"a": 1}, step=2**53)
    run.log({"a": 2})
    assert [point["step"] for point in points(run)] == [2**53]
    assert "log() wrote nothing: step 9007199254740993 is not allowed; it takes a whole number" in caplog.text


def test_what_is_no_number_is_left_out_and_named_once(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    for step in range(3):
        run.log({"loss": 1.0, "note": "hello", "gone": None, "many": np.arange(3)}, step=step)
    assert points(run) == [{"step": step, "loss": 1.0} for step in range(3)]
    assert sorted(record.message for record in caplog.records) == [
        "runwell: metric 'gone' is None, not a number; it is left out, the rest is logged",
        "runwell: metric 'many' has 3 elements, not one; log its mean, or one name for each; it is left out, the rest is logged",
        "runwell: metric 'note' is 'hello', not a number; it is left out, the rest is logged",
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((5,), "log() wrote nothing: it takes a mapping of names to numbers, not 5"),
        (("abc",), "it takes a mapping of names to numbers, not 'abc'"),
        ((None,), "it takes a mapping of names to numbers, not None"),
        (([("a", 1)],), "it takes a mapping of names to numbers, not a list"),
        (({"a": 1}, -1), "log() wrote nothing: step -1 is not allowed; it takes a whole number from 0 to 2^53"),
        (({"a": 1}, 1.5), "step 1.5 is not allowed"),
        (({"a": 1}, "ten"), "step 'ten' is not allowed"),
        (({"a": 1}, True), "step 'True' is not allowed"),
        (({"a": 1}, 2**60), "is not allowed"),
        (({"step": 1},), "metric 'step' cannot be logged: 'step' cannot be a metric name"),
        (({"a\nb": 1},), "1 to 250 printable characters"),
    ],
)
def test_bad_input_is_named_once_and_never_raises(
    run: Run, caplog: pytest.LogCaptureFixture, arguments: tuple[Any, ...], sentence: str
) -> None:
    run.log(*arguments)
    run.log(*arguments)
    assert points(run) == []
    (record,) = caplog.records
    assert sentence in record.message


def test_a_value_that_raises_does_not_reach_training(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def __float__(self) -> float:
            raise RuntimeError("device lost")

    run.log({"a": 1.0, "b": Broken()}, step=1)
    assert points(run) == [{"step": 1, "a": 1.0}]
    assert "metric 'b' cannot be read (RuntimeError('device lost'))" in caplog.text


def test_an_interrupt_in_the_middle_of_a_record_passes_and_leaves_the_spool_whole(run: Run) -> None:
    class Interrupted:
        def __float__(self) -> float:
            raise KeyboardInterrupt

    for step in range(3):
        with pytest.raises(KeyboardInterrupt):
            run.log({"a": 1.0, "b": 2.0, "c": Interrupted()}, step=step)
        run.log({"a": 3.0}, step=step)
    assert points(run) == [{"step": step, "a": 3.0} for step in range(3)]


def test_strict_raises(home: Path) -> None:
    run = runwell.init(strict=True)
    with pytest.raises(runwell.BadEvent, match="metric 'a' is None"):
        run.log({"a": None})
    with pytest.raises(runwell.BadEvent, match="step -1"):
        run.log({"a": 1}, step=-1)
    with pytest.raises(runwell.WireError, match="it takes info, warning or critical"):
        run.alert("t", level="loud")
    run.log({"a": 1})
    run.finish(timeout=0)
    with pytest.raises(runwell.BadEvent, match="has ended"):
        run.log({"a": 1})


def test_everything_else_that_can_be_reported(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    run.log({"a": 1}, step=7)
    run.sample("To be", "or not <b>", step=7)
    run.sample("x", "y")
    run.alert("Careful", "text", "critical", step=7)
    run.alert("Odd", level="loud")
    run.checkpoint(Path("/x/7"), 7, val_loss=math.inf, best=True)
    run.output("a line")
    run.acknowledge(3, True, "done", step=7)
    run.rewind(4)
    events = [{k: v for k, v in event.items() if k != "time"} for event in stored(run)[2:]]
    assert events == [
        {"type": "sample", "step": 7, "prompt": "To be", "text": "or not <b>"},
        {"type": "sample", "step": 7, "prompt": "x", "text": "y"},
        {"type": "alert", "step": 7, "title": "Careful", "text": "text", "level": "critical"},
        {"type": "alert", "title": "Odd", "text": "", "level": "warning"},
        {"type": "checkpoint", "step": 7, "path": "/x/7", "best": True, "val_loss": math.inf},
        {"type": "log", "stream": "worker", "text": "a line"},
        {"type": "ack", "step": 7, "command": 3, "ok": True, "text": "done"},
        {"type": "rewind", "step": 4},
    ]
    assert (
        "alert level 'loud' is not allowed; it takes info, warning or critical; it is told as a warning" in caplog.text
    )


def test_a_sample_carries_what_was_measured_of_it(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    run.sample("p", "t", 3, verbatim_tokens=np.int64(50), temperature=math.nan, own=-math.inf)
    run.sample("p", "t", 4, verbatim_places="many", time=2, type=5, top_k=1)
    first, second = stored(run)[-2:]
    assert (first["verbatim_tokens"], first["own"]) == (50, "-Infinity")  # nobody knows this one is a number
    assert math.isnan(first["temperature"])
    assert (second["type"], second["text"], second["top_k"]) == ("sample", "t", 1)
    assert "verbatim_places" not in second and second["time"] > 1e9
    assert "metric 'verbatim_places' is 'many', not a number; it is left out, the rest is logged" in caplog.text


def test_a_long_text_is_cut_and_that_is_said(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    run.sample("p", "x" * 70_000, step=1)
    assert len(stored(run)[-1]["text"]) == 64 * 1024 + 1
    assert "a text of 70,000 characters was cut to 65,536" in caplog.text


def test_what_the_server_would_refuse_is_said_at_once_and_not_written(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    run.acknowledge(10**400)
    run.acknowledge(7)
    assert "the ack record was not written" in caplog.text and "more than 300 digits" in caplog.text
    assert [event["command"] for event in stored(run) if event["type"] == "ack"] == [7]


def test_many_threads_lose_and_mix_nothing(run: Run) -> None:
    def work(number: int) -> None:
        for step in range(2000):
            run.log({f"t{number}": step, "both": number}, step=step)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = points(run)
    for number in range(4):
        mine = [point for point in found if f"t{number}" in point]
        assert [point["step"] for point in mine] == list(range(2000))
        assert all(point["both"] == number and point[f"t{number}"] == point["step"] for point in mine)
