"""The worker as a real process without a server: what it logs, how it ends, what it leaves; and its sentences for bad input."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from runwell.frames import decode_frames
from trainer import worker as module
from trainer.checkpoint import CheckpointFolder
from trainer.config import TrainConfig
from trainer.control import StopSignal
from trainer.worker import explain

TINY = {
    "dataset": "words.txt", "tokenizer": "char", "n_layer": 1, "n_head": 2, "n_embd": 16, "n_ff": 32, "context_length": 16,
    "batch_size": 4, "max_steps": 8, "warmup_steps": 2, "eval_interval": 4, "eval_batches": 2, "sample_interval": 8,
    "sample_tokens": 5, "checkpoint_interval": 0, "device": "cpu",
}  # fmt: skip


class Worker:
    """Starts workers in one home, each as the server would, and reads what they wrote into the spool."""

    def __init__(self, home: Path, text: str) -> None:
        self.home = home
        (home / "data").mkdir(parents=True)
        (home / "data" / "words.txt").write_text(text)
        self._environ = {name: value for name, value in os.environ.items() if not name.startswith("RUNWELL_")}
        # Port 9 of this machine is nobody's: the worker must do without a server.
        self._environ |= {"RUNWELL_HOME": str(home), "RUNWELL_URL": "http://127.0.0.1:9", "OMP_NUM_THREADS": "1"}

    def start(self, run_id: str = "r1", **changes: Any) -> subprocess.Popen[str]:
        path = self.home / f"{run_id}.json"
        path.write_text(json.dumps({**TINY, **changes}))
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "trainer", "--config", str(path)],
            env=self._environ | {"RUNWELL_RUN_ID": run_id},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, run_id: str = "r1", **changes: Any) -> tuple[int, str, str]:
        """Exit status, stdout, stderr."""
        with self.start(run_id, **changes) as process:
            out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    def events(self, run_id: str = "r1") -> list[dict[str, Any]]:
        """What the run's writers left in the spool, in the order in which they wrote."""
        segments = sorted((self.home / "spool" / run_id).rglob("*.seg"), key=lambda path: path.stat().st_mtime_ns)
        return [event for path in segments for event in decode_frames(path.read_bytes(), torn=True).batch.events]


@pytest.fixture
def worker(tmp_path: Path, text: str) -> Worker:
    return Worker(tmp_path / "home", text)


def of(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in events if event["type"] == kind]


@pytest.mark.slow
def test_a_run_from_end_to_end(worker: Worker) -> None:
    status, out, err = worker.run()
    assert status == 0, err
    for line in (
        "loading PyTorch", "preparing the data set words.txt", "encoding 5,", "data: words.txt, 5,", "tokenizer: char, ", "device: cpu, fp32 (cpu was asked for; on a CPU fp32",
        "plan: 8 steps of 64 tokens", "finished: all 8 steps are done",
    ):  # fmt: skip
        assert line in out
    events = worker.events()
    (begun,), (known,) = of(events, "run"), of(events, "config")
    assert TrainConfig.from_mapping(begun["config"]).max_steps == 8, "it is announced before its data is prepared"
    config = begun["config"] | known["config"]
    assert config["vocab_size"] == config.pop("actual_vocab_size") < 60, "the vocabulary that the run really has"
    assert config.pop("parameters") > 1000
    assert TrainConfig.from_mapping(config).max_steps == 8, "the settings that are reported can be launched again"
    assert begun["name"] == "minimal on words.txt"
    steps = [event["step"] for event in of(events, "metrics") if "train/loss" in event]
    assert steps == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [event["step"] for event in of(events, "metrics") if "val/loss" in event] == [0, 4, 8]
    assert len(of(events, "sample")) == 2
    assert of(events, "checkpoint")[-1]["path"] == str(worker.home / "runs/r1/checkpoints/step-000000008")
    assert of(events, "state")[-1]["state"] == "finished"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_makes_it_checkpoint_and_end_well(worker: Worker, number: signal.Signals) -> None:
    process = worker.start(max_steps=10_000_000, eval_interval=10_000_000, log_interval=1)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("step 1/"):
            break
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    state = of(worker.events(), "state")[-1]
    assert state["state"] == "stopped" and state["reason"].startswith(f"stopped by {number.name} at step ")
    (step,) = CheckpointFolder(worker.home / "runs/r1/checkpoints").steps()
    assert f"stopped by {number.name} at step {step:,}" in out
    assert max(event["step"] for event in of(worker.events(), "metrics")) == step, "the checkpoint is of the last step"


@pytest.mark.slow
def test_a_nan_run_goes_on_to_its_end_and_hides_nothing(worker: Worker) -> None:
    status, out, _ = worker.run(fault="log-zero", fault_step=3)
    assert status == 0 and "finished" in out
    losses = {e["step"]: float(e["train/loss"]) for e in of(worker.events(), "metrics") if "train/loss" in e}
    assert math.isfinite(losses[2]) and losses[3] == math.inf and all(math.isnan(losses[s]) for s in range(4, 9))


@pytest.mark.slow
def test_resuming_in_the_same_run_rewinds_and_in_another_does_not(worker: Worker) -> None:
    whole = worker.run()
    assert whole[0] == 0
    first = {e["step"]: e["train/loss"] for e in of(worker.events(), "metrics") if "train/loss" in e}
    status, out, err = worker.run("r2", resume="r1:4")
    assert status == 0 and "from step 4" in out, err
    second = {e["step"]: e["train/loss"] for e in of(worker.events("r2"), "metrics") if "train/loss" in e}
    assert second == {step: first[step] for step in (5, 6, 7, 8)}, "bit for bit, in another process"
    assert of(worker.events("r2"), "rewind") == []
    assert worker.run(resume="r1:4", max_steps=10)[0] == 0
    assert [event["step"] for event in of(worker.events(), "rewind")] == [4]


@pytest.mark.slow
def test_bad_input_ends_a_process_with_status_2_and_one_sentence(worker: Worker) -> None:
    status, out, err = worker.run(resume="nobody")
    assert (status, out) == (2, "loading PyTorch\n")
    assert err.startswith("crashed: resume = 'nobody': there is no checkpoint 'last'") and err.count("\n") == 1


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, run: Any) -> Callable[..., int]:
    """Works in this process, reporting to the recording run."""
    (tmp_path / "words.txt").write_text(text)
    monkeypatch.setattr(module.runwell, "init", lambda *args, **kwargs: run)

    def work(**changes: Any) -> int:
        config = TrainConfig.from_mapping({**TINY, **changes})
        return module.work(config, tmp_path / "home", tmp_path, StopSignal())

    return work


def test_every_kind_of_bad_input_is_one_sentence(
    here: Callable[..., int],
    run: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert here() == 0
    weights = tmp_path / "home/runs/r-test/checkpoints/step-000000008/weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    cases: list[tuple[dict[str, Any], str]] = [
        ({"dataset": "nowhere.txt"}, "dataset = 'nowhere.txt' is not in the data folder"),
        ({"resume": "r-test:8"}, "resume = 'r-test:8': the checkpoint of step 8 is broken"),
        ({"resume": "r-test"}, "those of these steps can be used: 4"),
        ({"resume": "r-test:4", "max_steps": 4}, "resume = 'r-test:4' is at step 4, max_steps = 4: nothing is left to train"),
        ({"resume": "nobody"}, "resume = 'nobody': there is no checkpoint 'last'"),
        ({"resume": "r-test:4", "n_layer": 2}, "the checkpoint of step 4 is of another model (n_layer = 1 there, 2 here)"),
        ({"prompts": "Ω"}, "the text has characters that the data does not: 'Ω'"),
        ({"data_limit_characters": 10}, "the training part has 9 tokens, too few for one context of 16"),
        ({"n_layer": 96, "n_head": 64, "n_embd": 8192, "n_ff": 32_768}, "a model of 77,"),
        ({"device": "cuda"}, "device = 'cuda' but this torch"),
    ]  # fmt: skip
    for changes, sentence in cases:
        capsys.readouterr()
        assert here(**changes) == 2
        error = capsys.readouterr().err
        assert sentence in error and error.count("\n") == 1 and error.startswith("crashed: ")


def test_a_name_that_leads_nowhere_leaves_no_run_and_bad_data_says_so_on_the_run(
    here: Callable[..., int], run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    begun: list[str] = []

    def init(*args: Any, name: str, **kwargs: Any) -> Any:
        begun.append(name)
        return run

    monkeypatch.setattr(module.runwell, "init", init)
    for nothing in ({"dataset": "nowhere.txt"}, {"resume": "nobody"}, {"precision": "fp16"}):
        assert here(**nothing) == 2 and not begun, nothing
    (tmp_path / "empty.txt").write_text(" \n")
    assert here(dataset="empty.txt") == 2
    assert begun == ["minimal on empty.txt"]
    assert run.ended == (
        "crashed",
        "the data set 'empty.txt' has no text in it; choose another or put text into the file",
    )


def test_a_run_that_goes_on_from_another_has_a_best_of_its_own(
    here: Callable[..., int], run: Any, tmp_path: Path
) -> None:
    assert here() == 0
    best = run.checkpoints[-1]
    assert best[0] == 8 and best[3], "each evaluation of this text is better than the last"
    run.id = "r-other"
    # A rate of nearly nothing: it cannot beat what it came from.
    assert here(resume="r-test:best", max_steps=12, learning_rate=1e-9, min_learning_rate=0.0, dropout=0.9) == 0
    assert CheckpointFolder(tmp_path / "home/runs/r-other/checkpoints").best() is not None
    assert run.rewinds == []
    run.id = "r-test"
    assert here(resume="r-test:best", max_steps=9) == 0 and run.rewinds == [8]


def test_what_takes_a_while_is_said_once(
    here: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert here(tokenizer="bpe", vocab_size=300) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "preparing the data set words.txt"
    assert said[1].startswith("learning a BPE vocabulary of 300 tokens from 5,") and said[2].startswith("encoding 5,")
    assert here(tokenizer="bpe", vocab_size=300) == 0
    assert not any("learning" in line or "encoding" in line for line in capsys.readouterr().out.splitlines()), "kept"


def test_an_exception_ends_the_run_as_crashed_with_its_traceback(
    here: Callable[..., int], run: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module.Loop, "train", lambda self: 1 / 0)
    assert here() == 1
    assert run.ended == ("crashed", "ZeroDivisionError: division by zero")
    error = capsys.readouterr().err
    assert "Traceback (most recent call last)" in error
    assert error.endswith("crashed: ZeroDivisionError: division by zero\n")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (MemoryError(), "out of memory with batch_size = 16 and context_length = 128; halve batch_size"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out of memory with batch_size = 16"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "out of memory with batch_size = 16"),
        (ValueError("first line\nsecond line"), "ValueError: first line second line"),
    ],
)
def test_what_killed_a_run_is_one_sentence(error: Exception, sentence: str) -> None:
    said = explain(error, TrainConfig())
    assert said.startswith(sentence) and "\n" not in said
