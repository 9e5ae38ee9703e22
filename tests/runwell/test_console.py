"""What trainers print is read as a log: reports become points, prose is passed over."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwell.printed import numbers_in
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
        ("Batch 2, Loss: 2.75", {"step": 2, "Loss": 2.75}),
        ("Epoch0: Training: Loss: 4.25", {"epoch": 0, "Loss": 4.25}),
        ("Epoch0: Validation: Loss: 4.5", {"epoch": 0, "val/loss": 4.5}),
        ("Epoch 3: Validation - Loss: 4.5, F1: 0.5", {"epoch": 3, "val/loss": 4.5, "F1": 0.5}),
        (
            "12:58:04  [FT] Ep 003 | Loss 2.25 (R:165.5 M:0.75) | AUC 0.625 | LR 1.00e-04 | Best 0.5",
            {"epoch": 3, "Loss": 2.25, "R": 165.5, "M": 0.75, "LR": 1e-4},
        ),
        ("Ep 3/10 | Loss: 0.25 | Best Loss: 0.125", {"epoch": 3, "Loss": 0.25, "Best Loss": 0.125}),
        (
            "Stage 1, Epoch 1, Batch 25, Training Loss (avg over last 100): 2.5",
            {"epoch": 1, "step": 25, "Training Loss": 2.5},
        ),
        ("Epoch 3 finished. Avg Loss: 2.5", {"epoch": 3, "Avg Loss": 2.5}),
        ("43001 train ce 2.5 muon_lr 2.5e-04", {"step": 43001, "train/loss": 2.5, "muon_lr": 2.5e-4}),
        ("38001 stage boost train ce 2.5 adam_lr 2.5e-04", {"step": 38001, "train/loss": 2.5, "adam_lr": 2.5e-4}),
        ("43500 evaluate ppl 19.5 loss 3 sec 89.5", {"step": 43500, "val/loss": 3, "val/ppl": 19.5, "val/sec": 89.5}),
        ("step 41048 | ce 3.25 | cos 0.75 | norm 0.5", {"step": 41048, "ce": 3.25, "norm": 0.5}),
        (
            "Eval step 20000 | train loss 1.5 | val loss 1.75 | BLUE: 0.5",
            {"step": 20000, "train loss": 1.5, "val loss": 1.75, "val/BLUE": 0.5},
        ),
    ],
)
def test_reports(line: str, numbers: dict[str, float]) -> None:
    assert numbers_in(line) == numbers


@pytest.mark.parametrize(
    ("line", "numbers"),
    [
        ("-- Epoch:[0]; Batch:[300]; Time: 0.125 s; ppl: 146.75", {"epoch": 0, "step": 300, "ppl": 146.75}),
        (
            "[2017-09-26:07:46:53:INFO:root:__call__] Epoch[0] Batch [150]\tSpeed: 50.5 samples/sec\tperplexity=33925.5",
            {"epoch": 0, "step": 150, "Speed": 50.5, "perplexity": 33925.5},
        ),
        (
            "Epoch: 4, Batch: 41500/66554, Batch size: 10, LR: 0.5000, PPL: 4.25, |Param|: 880.5",
            {"epoch": 4, "step": 41500, "Batch size": 10, "LR": 0.5, "PPL": 4.25},
        ),
        ("Epoch: 10 Valid Perplexity: 166.75", {"epoch": 10, "Valid Perplexity": 166.75}),
        ("Batch 10/5258 | Energy: 2.5 | Perplexity: 1.5e30", {"step": 10, "Energy": 2.5, "Perplexity": 1.5e30}),
        ("Batch 20/5258 | Perplexity: inf", {"step": 20, "Perplexity": math.inf}),
        (
            "Batch 20/5258 | Perplexity: 45952233435926420993574233000",
            {"step": 20, "Perplexity": 45952233435926420993574233000.0},
        ),
        (
            "Epoch 1/500 -- train: 0.5  val: 0.625  ppl: 1.875",
            {"epoch": 1, "train loss": 0.5, "val loss": 0.625, "ppl": 1.875},
        ),
    ],
)
def test_a_perplexity_tells_what_a_loss_does(line: str, numbers: dict[str, float]) -> None:
    assert numbers_in(line) == numbers


@pytest.mark.parametrize(
    "prefix",
    [
        "2021-11-11 00:01:30.834 | INFO     | __main__:train:35 - ",
        "[2024-12-24 13:27:34,317] [INFO] [train.py:1001:log]   ",
        "2025-10-19 21:42:41,484 - src.training.train - INFO - ",
        "2025-04-19 15:53:09 - app.log - INFO - [trainer.py:37] - ",
        "INFO:root:",
        "WARNING:__main__:",
        "",
    ],
)
def test_what_a_logger_puts_before_a_line_holds_no_number_of_the_run(prefix: str) -> None:
    assert numbers_in(f"{prefix}step 5: loss: 2.5") == {"step": 5, "loss": 2.5}
    assert numbers_in(f"{prefix}Epoch 5/9, Loss: 2.5") == {"epoch": 5, "Loss": 2.5}
    assert numbers_in(f"{prefix}5 files of train:35 are left") == {}


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
        "43500 evaluate all of 5",
        "Embedding dim: 16, k: 50 -> test perplexity: 16.5",  # a table of evaluations
        "ref_path: results/checkpoint-10, PPL AUC: 0.75, PROB AUC: 0.5",
        "    Direct    : PPL    28.5  (17 chunks, 1.5s)",
        "seconds per batch: 2, loss",
        "index: 3 loss: 2.5 mean neighbour loss: 3.25",
        "{'perplexity': 12.5, 'word_count': 100}",
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


def test_batches_are_counted_on_over_the_epochs_that_their_lines_tell() -> None:
    epochs = "".join(f"Epoch: {n}, Batch: {at}, Loss: 2.5\n" for n in (1, 2) for at in (100, 200))
    assert [event["step"] for event in read(epochs)[0]] == [100, 200, 300, 400]
    headings = "".join(
        f"2025-01-02 03:04:05,100 - INFO - Epoch {n}/2\n2025-01-02 03:04:05,100 - INFO -   Batch 10/10 | Perplexity: inf\n"
        for n in (1, 2)
    )
    assert [(event["step"], event["Perplexity"]) for event in read(headings)[0]] == [(10, math.inf), (20, math.inf)]


LOGURU = "2021-11-11 00:01:{:02}.834 | INFO     | __main__:train:35 - loss: {}\n"


def test_losses_that_a_logger_tells_without_any_step_count_their_rows() -> None:
    text = "2021-11-11 00:00:00.100 | INFO     | __main__:main:12 - run\n"
    text += "".join(LOGURU.format(at, 2.5 - at / 10) for at in range(3)) + "2021-11-11 | saved, batch: 10\n"
    text += "".join(LOGURU.format(at, "nan" if at == 5 else 2.5 - at / 10) for at in range(3, 6))
    events, told = read(text)
    assert not told and [(event["step"], str(event["loss"])) for event in events] == [
        (0, "2.5"), (1, "2.4"), (2, "2.3"), (3, "2.2"), (4, "2.1"), (5, "nan"),
    ]  # fmt: skip
    again, _ = read(text + text.replace("main:12", "main:13"))  # the program starts anew, and says so as it did
    assert [event["step"] for event in again] == [*range(6), *range(6)]


@pytest.mark.parametrize(
    "text",
    [
        "".join(LOGURU.format(at, 2.5) for at in range(4)),  # too few: a program that speaks of a loss
        "".join(LOGURU.format(at, 25) for at in range(9)),  # whole numbers
        "".join(f"loss: {at}.5\n" for at in range(9)),  # of layers, of samples? nobody says of what
        "".join(f"2021-11-11 00:01:01 INFO stop loss: {at}.5 dollars\n" for at in range(9)),
        "user: my loss is 2.5, what now?\nassistant: At step 5, look at the perplexity.\n" * 9,
        "Collecting torch==2.3.1\n  Downloading torch-2.3.1.whl (779.1 MB)\nSuccessfully installed torch-2.3.1\n",
        "model, perplexity\nlarge, it was: 12.5\n",
        "for step in range(10):\n    loss = 0.5\n    print(f'step {step} loss {loss:.4f}')\n",
        "0.204 perplexity: 95.5 speed: 903 wps\n",  # of which epoch?
        "I have\n" + json.dumps({"role": "user", "text": "loss: 2.5", "step": 3}) + "\n" + json.dumps({"loss": 2.5}),
    ],
)
def test_texts_that_are_no_log_stay_unread(text: str) -> None:
    with pytest.raises(UnreadableLog):
        read(text)


def test_perplexities_below_the_heading_of_an_epoch_with_its_rate() -> None:
    """As TensorFlow's tutorial of language models prints them, and many copies of it."""
    text = "".join(
        f"Epoch: {n} Learning rate: 1.000\n0.004 perplexity: 5534.5 speed: 903 wps\nstep / (size // 10): 0.204 perplexity: 1e30\n"
        f"Epoch: {n} Train Perplexity: 270.5\nEpoch: {n} Valid Perplexity: 178.5\n"
        for n in (1, 2)
    )
    events, told = read(text)
    assert not told and [event["epoch"] for event in events] == [0.004, 0.204, 1, 1, 1.004, 1.204, 2, 2]
    assert [event.get("perplexity") for event in events[:3]] == [5534.5, 1e30, None]
    assert [event["step"] for event in events] == list(range(8))


def test_json_among_what_a_program_printed() -> None:
    rows = "".join(
        json.dumps({"epoch": 0, "step": step, "loss": loss}) + "\n" for step, loss in ((0, 7.5), (5, math.nan))
    )
    events, told = read("train.py --load 0\nReusing data, as it was (cached)\n" + rows + "{broken\n")
    assert not told and [(event["step"], str(event["loss"])) for event in events] == [(0, "7.5"), (5, "nan")]


def test_a_line_in_colours_above_a_printed_log_is_no_header() -> None:
    begin = "\x1b[34mwandb\x1b[0m: Downloading model-B, 249.75MB. 11 files...\nDone, 0\n"
    events, told = read(begin + "{'loss': 2.5, 'epoch': 0.5}\n{'loss': 2.25, 'epoch': 1.0}\n")
    assert not told and [event["loss"] for event in events] == [2.5, 2.25]
