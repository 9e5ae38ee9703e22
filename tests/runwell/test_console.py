"""What trainers print is read as a log: reports become points, prose is passed over."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwell.console import numbers_in
from runwell.runlog import PATIENCE, UnreadableLog, read_events


def read(text: str) -> tuple[list[dict[str, Any]], list[str]]:
    told: list[str] = []
    events = list(read_events(io.StringIO(text, newline=""), name="run.log", on_problem=told.append))
    return [{name: value for name, value in event.items() if name != "type"} for event in events], told


@pytest.mark.parametrize(
    ("line", "numbers"),
    [
        ("iter 10: loss 4.5, time 267.36ms, mfu 8.92%", {"step": 10, "loss": 4.5, "step_time": 0.26736}),
        ("step 500: train loss 1.9, val loss 2.1", {"step": 500, "train loss": 1.9, "val loss": 2.1}),
        (
            "step     1 | loss: 10.9 | lr 1.6e-06 | norm: 14.8 | dt: 410.25ms | tok/sec: 1,277,966",
            {"step": 1, "loss": 10.9, "lr": 1.6e-06, "norm": 14.8, "dt": 0.41025, "tok/sec": 1277966},
        ),
        ("step:500/1750 val_loss:3.7 step_avg:92.7ms", {"step": 500, "val_loss": 3.7, "step_avg": 0.0927}),
        ("step 00002/00502 (0.40%) | loss: 10.3 | lr(a:2e-03) | pq: 0", {"step": 2, "loss": 10.3, "a": 2e-3, "pq": 0}),
        (
            " iteration     5426/  250000 | elapsed time per iteration (ms): 4247.9 | learning rate: 2.999E-04 |"
            " lm loss: 2.2E+00 | loss scale: 1.0 | number of nan iterations:   0 |",
            {"step": 5426, "learning rate": 2.999e-4, "lm loss": 2.2, "loss_scale": 1},
        ),
        (
            "2025-01-02 03:04:05,406 - main - INFO - Step 50: Loss=21.5, LR=3.5e-06, Grad Norm=1.5",
            {"step": 50, "Loss": 21.5, "LR": 3.5e-6, "Grad Norm": 1.5},
        ),
        ("Epoch [3/10], Step [100/5000], Loss: 2.5", {"epoch": 3, "step": 100, "Loss": 2.5}),
        (
            "| epoch   1 |   200/ 2983 batches | lr 5.00 | loss  8.12 |",
            {"step": 200, "epoch": 1, "lr": 5, "loss": 8.12},
        ),
        ("Epoch 0:  10%|#  | 100/1000 [00:10<01:40,  9.5it/s, loss=2.5]", {"epoch": 0, "loss": 2.5, "step": 100}),
        (
            "\x1b[31mstep:  1  \x1b[32mloss:  8.5  \x1b[33mgrad_norm:  1.5\x1b[0m",
            {"step": 1, "loss": 8.5, "grad_norm": 1.5},
        ),
        (
            "step:3 - actor/pg_loss:np.float64(0.5) - actor/lr:1e-06",
            {"step": 3, "actor/pg_loss": 0.5, "actor/lr": 1e-6},
        ),
        ("{'loss': 3.5, 'learning_rate': '4e-05', 'epoch': 0.12}", {"loss": 3.5, "learning_rate": 4e-5, "epoch": 0.12}),
        ("INFO {'eval_loss': '2.5', 'eval_runtime': 3.5}", {"eval_loss": 2.5, "eval_runtime": 3.5}),
        ("4500/20000 train_loss: 2.75 tok/s: 6606485", {"step": 4500, "train_loss": 2.75, "tok/s": 6606485}),
        ("INFO - Eval Step 200: Loss=2.5, Perplexity=inf", {"step": 200, "val/Loss": 2.5, "val/Perplexity": math.inf}),
        ("250 val 6.25", {"step": 250, "val/loss": 6.25}),
        ("1 train 10.5 hard inf adam_lr 2.5e-06", {"step": 1, "train/loss": 10.5, "hard": math.inf, "adam_lr": 2.5e-6}),
        ("1 val 10.5 hard 1e3", {"step": 1, "val/loss": 10.5, "val/hard": 1000}),
        ("[    5/600] loss=4.5 lr=4.5e-04 (58885 tok/s)", {"step": 5, "loss": 4.5, "lr": 4.5e-4, "tok/s": 58885}),
        (
            "step   24/900 | loss 4.25 (-0.57z)| norm 1.36 (-0.29z)| lr 8.00e-04 | 6.25 ms | 0.1% bf16 MFU | 42222 tok/s",
            {"step": 24, "loss": 4.25, "norm": 1.36, "lr": 8e-4, "step_time": 0.00625, "tok/s": 42222},
        ),
        ("iter 10: loss 4.25, time 512", {"step": 10, "loss": 4.25}),
        ("step 5 | loss 4.25 | 1200 tokens read | took 12 ms | 3 msgs", {"step": 5, "loss": 4.25}),
        ("[   60/600] eval: loss=3.25 ppl=inf", {"step": 60, "val/loss": 3.25, "val/ppl": math.inf}),
        ("s:250 tel:6.250000", {"step": 250, "val/loss": 6.25}),
        ("s:250 trl:6.2500 lr:0.000600 norm:1.50", {"step": 250, "train/loss": 6.25, "lr": 6e-4, "norm": 1.5}),
        (
            "validate step: 50  loss:  6.2500  memory: 32.5GiB(34.15%)",
            {"step": 50, "val/loss": 6.25, "val/memory": 32.5},
        ),
        (
            "| INFO | valid | epoch 001 | valid on 'valid' subset | loss 6.25 | ppl 76.5 | num_updates 500",
            {"step": 500, "epoch": 1, "val/loss": 6.25, "val/ppl": 76.5},
        ),
        (
            "iteration: 10 / 1000 | consumed_tokens: 1.05M | tokens_per_sec: 45.6K | lm_loss: 10.2",
            {"step": 10, "consumed_tokens": 1.05e6, "tokens_per_sec": 45_600, "lm_loss": 10.2},
        ),
        ("step 1.5k loss: 2.5", {"step": 1500, "loss": 2.5}),
        ("Iter(train) [  10/1000]  lr: 1.0e-05  loss: 2.5", {"step": 10, "lr": 1e-5, "loss": 2.5}),
        ("[10 | 23.12] loss=3.5", {"step": 10, "loss": 3.5}),
        ("Step 00250 | Validation bpb: 0.875", {"step": 250, "Validation bpb": 0.875}),
    ],
)
def test_reports(line: str, numbers: dict[str, float]) -> None:
    assert numbers_in(line) == numbers


@pytest.mark.parametrize("word", ["nan", "NaN", "-inf", "inf"])
def test_non_finite_reports(word: str) -> None:
    assert repr(numbers_in(f"step 3 | loss: {word} | ppl 2")["loss"]) == repr(float(word))
    assert repr(numbers_in(f"{{'loss': {word}, 'grad_norm': 1.5}}")["loss"]) == repr(float(word))


@pytest.mark.parametrize(
    "line",
    [
        "using 124,354,560 parameters, loss in float32",
        "the loss was 4 in the end of step",
        "    loss = 0.5",  # a line of the trainer's source, which some print first
        'print(f"step:{step}/{steps} val_loss:{val_loss:.4f} train_time:{time:.0f}ms")',
        "Calculating loss:  54%|#####     | 7/13 [00:03<00:01,  3.28it/s]",
        "{'train_runtime': 12.5, 'train_loss': 0.38, 'epoch': 2.0}",  # the mean of the run, at its end
        "step 4: saved to /out/loss",
        "250 hella 0.25",
        "250 train 10.5 hours of it",
        "",
    ],
)
def test_prose(line: str) -> None:
    assert numbers_in(line) == {}


@given(st.text() | st.from_regex(r"(?i)\A(step|loss|[ :=/|0-9.e+-]|nan){0,30}\Z"))
def test_no_line_breaks_it(line: str) -> None:
    assert all(isinstance(value, float) for value in numbers_in(line).values())


def test_a_log_with_prose_around_it() -> None:
    text = (
        "Loading data, please wait\nmodel: 3 layers, 4 heads\n"
        "step 0 | loss: 5.0 | lr 0.1\nsaved, all is well\nstep 10 | loss: nan | lr 0.1\nTraceback (most recent call last):\n"
    )
    events, told = read(text)
    assert told == [] and [event["step"] for event in events] == [0, 10]
    assert events[0]["loss"] == 5.0 and math.isnan(events[1]["loss"])


def test_python_dicts_between_progress_bars_count_their_rows() -> None:
    text = "{'loss': 3.5, 'epoch': 0.5}\r  1%|  | 1/100 [00:01<02:00]\r{'eval_loss': 3.6, 'epoch': 1.0}\n{'loss': 3.0, 'epoch': 1.5}\n"
    events, told = read(text)
    assert told == []
    assert [(event["step"], event.get("loss")) for event in events] == [(0, 3.5), (1, None), (2, 3.0)]


def test_a_report_over_several_lines() -> None:
    text = (
        "Starting\n2025-01-02 host:979 INFO\t[step=1/90,epoch=0]\n    optim/total_grad_norm=11.5\n    train/CrossEntropyLoss=11.25\n"
        "    train/Perplexity=83,461\n    System/Peak Memory (MB)=10,244\nsaved\n[step=2/90,epoch=0]\n    train/CrossEntropyLoss=nan\n"
    )
    events, told = read(text)
    assert told == [] and [event["step"] for event in events] == [1, 2]
    assert events[0]["optim/total_grad_norm"] == 11.5 and events[0]["train/CrossEntropyLoss"] == 11.25
    assert events[0]["train/Perplexity"] == 83461 and math.isnan(events[1]["train/CrossEntropyLoss"])


def test_one_report_alone_over_several_lines() -> None:
    assert read("x, y\n[step=1/90,epoch=0]\n  train/loss=2.5\n")[0] == [{"step": 1, "train/loss": 2.5}]


def test_a_document_at_the_head_of_a_printed_log_is_no_log() -> None:
    events, told = read('{\n "layers": 3\n}\nstep 1: loss 2.5\n')
    assert told == [] and events == [{"step": 1, "loss": 2.5}]


def test_json_lines_stay_json_lines_though_one_is_broken() -> None:
    lines = ['{"step": 1, "lo', *(json.dumps({"step": step, "loss": 2.5, "note": "step 7: loss 1"}) for step in (2, 3))]
    events, told = read("\n".join(lines) + "\n")
    assert [event["step"] for event in events] == [2, 3] and len(told) == 1


def test_a_table_stays_a_table_though_it_holds_words() -> None:
    events, told = read("step,loss,note\n1,2.5,step 9: loss 4\n2,2.0,\n")
    assert told == [] and [event["step"] for event in events] == [1, 2]


def test_a_sentence_with_a_comma_above_a_printed_log_is_no_header() -> None:
    """Though one of its lines has numbers between commas, far below."""
    told_first = "max_steps is given, it will override any value\n" + "x: {\n" * 30 + "  7.0e-06, -4.0e-05, ...])\n"
    events, told = read(told_first + "Step 20/90 (2.0%) | Loss: 1.5\nStep 30/90 (3.0%) | Loss: 1.25\n")
    assert told == [] and [(event["step"], event["Loss"]) for event in events] == [(20, 1.5), (30, 1.25)]


def test_an_impossible_step_is_told() -> None:
    events, told = read("hello there\nstep 1: loss 2.5\nstep -4: loss 2.5\nstep 5: loss 1.5\n")
    assert [event["step"] for event in events] == [1, 5]
    assert told == ["run.log, line 3: step = -4 is no step; it takes a whole number from 0 to 2^53"]


def test_prose_alone_is_refused_and_not_read_to_its_end() -> None:
    lines = iter("nothing to see here\n" for _ in range(3 * PATIENCE))
    with pytest.raises(UnreadableLog, match="neither a JSON object nor a CSV header"):
        list(read_events(lines))
    assert next(lines, None) is not None


def test_a_stream_is_given_as_it_comes() -> None:
    given_out: list[int] = []

    def lines() -> Any:
        for step in range(3):
            yield f"step {step}: loss 2.5\n"
            given_out.append(step)

    events = read_events(lines())
    assert next(events)["step"] == 0 and given_out == []


def test_losses_below_the_heading_of_an_epoch_are_its_own() -> None:
    epochs = "".join(f"Epoch {n}/3\nTrain Loss: {4 - n}\nVal Loss: {5 - n}\nsaved\n" for n in (1, 2, 3))
    events, told = read(epochs)
    assert not told
    assert [(event["step"], event.get("Train Loss"), event.get("Val Loss")) for event in events] == [
        (1, 3, None), (1, None, 4), (2, 2, None), (2, None, 3), (3, 1, None), (3, None, 2),
    ]  # fmt: skip
    tutorial = (
        "Epoch: 02 | Epoch Time: 0m 12s\n\tTrain Loss: 3.5 | Train PPL:  33.1\n\t Val. Loss: 3.75 |  Val. PPL:  42.5\n"
    )
    first, second = read(tutorial)[0]
    assert (first["step"], first["Train Loss"], second["step"], second["Val. Loss"]) == (2, 3.5, 2, 3.75)


def test_a_line_with_both_losses_tells_those_of_the_epoch_above_it() -> None:
    epochs = [
        f"📅 Epoch {n}/2\nbest val loss: 9\n🕒 Time: 32m 48s | 🔥 Train Loss: {loss} | ✅ Val Loss: nan\n"
        for n, loss in ((1, 4.25), (2, 3.25))
    ]
    events, _ = read("".join(epochs))
    assert [(event["step"], event["Train Loss"], str(event["Val Loss"])) for event in events] == [
        (1, 4.25, "nan"), (2, 3.25, "nan"),
    ]  # fmt: skip


def test_a_validation_loss_on_a_line_of_its_own_belongs_to_the_step_above_it() -> None:
    text = "val loss 11.0\nstep    1/90 | loss 10.5 (+nanz)| lr 1.5e-05\nval loss 9.5\nbest loss 2.5\nstep    2/90 | loss 9.25\n"
    events, _ = read(text)
    assert [(event["step"], event.get("loss"), event.get("val loss")) for event in events] == [
        (1, 10.5, None), (1, None, 9.5), (2, 9.25, None),
    ]  # fmt: skip


def test_a_log_of_one_line_is_read() -> None:
    assert read("iter 0: loss 10.5, time 3ms, mfu 1.5%\n")[0] == [{"step": 0, "loss": 10.5, "step_time": 0.003}]


def test_a_bare_number_counts_where_nothing_else_does() -> None:
    text = "0: validation loss: 10.9375\n0: Loss 10.5 | Grad Norm 16.5 | LR 8.25e-07\n1: Loss 10.25 | Grad Norm 16.0 | LR 1.5e-06\n"
    assert [(event["step"], event.get("Loss"), event.get("validation loss")) for event in read(text)[0]] == [
        (0, None, 10.9375), (0, 10.5, None), (1, 10.25, None),
    ]  # fmt: skip
    batches = "Reading data\nbatch: 9, time: 28.25, loss: 55.75\nbatch: 19, loss: nan\n"
    assert [(event["step"], str(event["loss"])) for event in read(batches)[0]] == [(9, "55.75"), (19, "nan")]
    epochs = "Epoch: 1, Batch: 100, Loss: 2.5\nEpoch: 1, Batch: 200, Loss: 2.25\n"  # counted anew in each epoch
    assert [event["epoch"] for event in read(epochs)[0]] == [1, 1]
    assert 100 not in [event["step"] for event in read(epochs)[0]]
