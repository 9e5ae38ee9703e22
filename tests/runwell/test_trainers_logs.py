"""Logs as well-known trainers write them, in small: steps, losses and numbers that are none come out as they were meant.

Each is written by hand after the form that the trainer's logger has; what the rules are then given is asked of the engine.
"""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import pytest

from diagnostics import Engine
from runwell.runlog import UnreadableLog, read_events

LN_2 = math.log(2)
NAN = math.nan

LIGHTNING = """epoch,lr-AdamW,step,train_loss_epoch,train_loss_step,val_loss
,0.0003,49,,,
0,,49,,3.5,
0,,99,,nan,
0,,99,,,3.25
0,,99,3.4,,
"""
WANDB_HISTORY = """_step,_runtime,_timestamp,train/loss,train/grad_norm,eval/loss
0,0.5,1700000000.5,4.5,1.5,
0,0.6,1700000000.6,,,4.25
5,3.5,1700000003.5,NaN,Infinity,
"""
WANDB_EXPORT = """"Step","sunny-lake-3 - train/loss","sunny-lake-3 - train/loss__MIN","sunny-lake-3 - train/loss__MAX"
"0","4.5","4.5","4.5"
"10","NaN","NaN","NaN"
"""
COMPOSER = """Building the model...
[batch=1/100]:
\t Train time/batch: 0
\t Train loss/train/total: 10.9736
\t Train metrics/train/LanguagePerplexity: 58312.0586
\t Train l2_norm/grad/global: 1.25
[batch=2/100]:
\t Train time/batch: 1
\t Train loss/train/total: nan
[Eval batch=1/8] Eval on eval data:
[Eval batch=8/8] Eval on eval data:
\t Eval metrics/eval/LanguageCrossEntropy: 10.5
"""
MEGATRON = """training ...
 [2024-05-01 10:00:00] iteration      100/    5000 | consumed samples:  25600 | learning rate: 1.5E-04 | lm loss: 6.5E+00 | grad norm: 0.9 |
 [2024-05-01 10:00:10] iteration      200/    5000 | consumed samples:  51200 | learning rate: 1.5E-04 | lm loss: NAN | grad norm: inf |
--------------------------------------------------------------------
 validation loss at iteration 200 | lm loss value: 6.25E+00 | lm loss PPL: 5.18E+02 |
"""
NANOGPT = """number of parameters: 10.65M
step 0: train loss 4.25, val loss 4.5
iter 0: loss 4.5, time 1120.31ms, mfu -100.00%
iter 10: loss nan, time 120.31ms, mfu 12.31%
"""
KERAS = """Epoch 1/2
1/3 ---- 5s 2s/step - accuracy: 0.25 - loss: 4.5
3/3 ---- 0s 30ms/step - accuracy: 0.5 - loss: 4.25 - val_accuracy: 0.5 - val_loss: 4.5
Epoch 2/2
3/3 ---- 0s 30ms/step - accuracy: 0.5 - loss: nan - val_accuracy: 0.5 - val_loss: inf
"""
FAIRSEQ = """2024-05-01 10:00:00 | INFO | train_inner | {"epoch": 1, "update": 0.1, "loss": "9.5", "ppl": "724.1", "num_updates": "100", "lr": "0.0005", "gnorm": "1.5"}
2024-05-01 10:00:09 | INFO | valid | {"epoch": 1, "valid_loss": "9.25", "valid_ppl": "608.9", "valid_num_updates": "100"}
2024-05-01 10:00:19 | INFO | train_inner | {"epoch": 1, "update": 0.2, "loss": "nan", "ppl": "nan", "num_updates": "200", "lr": "0.0005", "gnorm": "nan"}
"""
LITGPT = """Epoch 1 | iter 4 step 1 | loss train: 4.500, val: n/a | iter time: 123.45 ms (step)
Epoch 1 | iter 8 step 2 | loss train: 4.250, val: 4.375 | iter time: 123.45 ms (step)
"""
MODEL_CARD = """# My fine model

| Training Loss | Epoch | Step | Validation Loss |
|:-------------:|:-----:|:----:|:---------------:|
| No log        | 0.5   | 50   | 4.5             |
| 4.25          | 1.0   | 100  | nan             |

That is all.
"""
AXOLOTL = """[INFO] [axolotl.train] Starting trainer...
{'loss': 2.5, 'grad_norm': 0.5, 'learning_rate': 0.0002, 'epoch': 0.25}
 25%|###       | 1/4 [00:01<00:03,  1.00it/s]
{'loss': nan, 'grad_norm': nan, 'learning_rate': 0.0001, 'epoch': 0.5}
{'eval_loss': 2.75, 'eval_runtime': 3.1, 'epoch': 0.5}
{'train_runtime': 60.0, 'train_loss': 2.34, 'epoch': 1.0}
"""
STATE = json.dumps(
    {
        "max_steps": 20,
        "log_history": [
            {"epoch": 0.5, "loss": 2.5, "grad_norm": None, "step": 10},
            {"epoch": 0.5, "eval_loss": 2.4, "step": 10},
            {"epoch": 1.0, "loss": NAN, "step": 20},
            {"epoch": 1.0, "step": 20, "train_loss": 2.45, "train_runtime": 9.0},
        ],
    }
)
TORCHTUNE = "Step 1 | loss:4.5 lr:2e-05 tokens_per_second_per_gpu:512.3 \nStep 2 | loss:nan lr:2e-05 tokens_per_second_per_gpu:0.0 \n"
OPENNMT = "".join(
    f"[2024-05-01 10:00:00,123 INFO] Step {step}/10000; acc:  12.34; ppl: 320.1; xent: 5.75; lr: 0.00012; 1234/2345 tok/s;   12 sec\n"
    for step in (50, 100)
)
SPREADSHEET = "step;train_loss;val_loss\n0;4,5;4,75\n5;NaN;\n"
MELTED = "step,metric,value\n0,train/loss,4.5\n0,val/loss,4.75\n5,train/loss,inf\n"
MELTED_JSON = "".join(
    json.dumps({"step": step, "name": name, "value": value}) + "\n"
    for step, name, value in ((0, "train/loss", 4.5), (0, "val/loss", 4.75), (5, "train/loss", NAN))
)
KERAS_HISTORY = json.dumps({"loss": [4.5, 4.25, NAN], "val_loss": [4.75, 4.5, 4.25], "note": "x", "best": 2})
OWN_LISTS = json.dumps(
    {"config": {"lr": 0.1}, "history": {"train_losses": [4.5, 4.25, 4.0], "steps": [0, 5, 10]}}, indent=2
)
NULLS = '{"step": 0, "loss": 4.5, "eval_loss": null}\n{"step": 1, "loss": "NaN", "eval_loss": null}\n{"step": 1, "loss": null, "eval_loss": 4.25}\n'
MARIAN = (
    "[2021-07-17 12:54:33] Ep. 1 : Up. 14000 : Sen. 965,843 : Cost 4.50000000 : Time 359.59s : 3007.81 words/s : gNorm 0.5 : L.r. 3.0e-04\n"
    "[2021-07-17 13:13:46] Ep. 1 : Up. 16000 : Sen. 1,052,108 : Cost nan : Time 1153.11s : 1942.28 words/s\n"
)
INDEXED = "".join(
    f"2024-10-26 01:02:48.881 | INFO     | __main__:train:58 - [0.{at:02}%] batch_index={at} loss={loss}\n"
    for at, loss in ((64, 4.5), (128, 4.25), (192, "nan"))
)
PARTS = "Tue May 14 23:04:06 2019\n" + "".join(
    f"train loss {loss} lr 0.001485\nvalidate loss 4.25\n" for loss in (4.5, 4.25, 4.0, 3.75, "nan")
)
PRINTED_AT = "Loading\niter 100: loss 4.5, lr 0.01\nValidation loss at iteration 100: 4.25\n"


@pytest.mark.parametrize(
    ("text", "train", "val"),
    [
        (LIGHTNING, {49: 3.5, 99: NAN}, {99: 3.25}),
        (WANDB_HISTORY, {0: 4.5, 5: NAN}, {0: 4.25}),
        (WANDB_EXPORT, {0: 4.5, 10: NAN}, {}),
        (COMPOSER, {1: 10.9736, 2: NAN}, {2: 10.5}),
        (MEGATRON, {100: 6.5, 200: NAN}, {200: 6.25}),
        (NANOGPT, {0: 4.5, 10: NAN}, {0: 4.5}),
        (KERAS, {1: 4.5, 3: 4.25, 6: NAN}, {3: 4.5, 6: math.inf}),
        (FAIRSEQ, {100: 9.5 * LN_2, 200: NAN}, {100: 9.25 * LN_2}),  # it tells its losses in bits
        (LITGPT, {4: 4.5, 8: 4.25}, {8: 4.375}),
        (MODEL_CARD, {100: 4.25}, {50: 4.5, 100: NAN}),
        (AXOLOTL, {0: 2.5, 1: NAN}, {2: 2.75}),
        (STATE, {10: 2.5, 20: NAN}, {10: 2.4}),
        (TORCHTUNE, {1: 4.5, 2: NAN}, {}),
        (OPENNMT, {50: 5.75, 100: 5.75}, {}),
        (SPREADSHEET, {0: 4.5, 5: NAN}, {0: 4.75}),
        (MELTED, {0: 4.5, 5: math.inf}, {0: 4.75}),
        (MELTED_JSON, {0: 4.5, 5: NAN}, {0: 4.75}),
        (KERAS_HISTORY, {0: 4.5, 1: 4.25, 2: NAN}, {0: 4.75, 1: 4.5, 2: 4.25}),
        (OWN_LISTS, {0: 4.5, 5: 4.25, 10: 4.0}, {}),
        (NULLS, {0: 4.5, 1: NAN}, {1: 4.25}),
        (MARIAN, {14000: 4.5, 16000: NAN}, {}),
        (INDEXED, {64: 4.5, 128: 4.25, 192: NAN}, {}),
        (PARTS, {0: 4.5, 1: 4.25, 2: 4.0, 3: 3.75, 4: NAN}, dict.fromkeys(range(5), 4.25)),
        (PRINTED_AT, {100: 4.5}, {100: 4.25}),
    ],
)
def test_losses_of_known_trainers(text: str, train: dict[int, float], val: dict[int, float]) -> None:
    told: list[str] = []
    engine = Engine()
    engine.observe_all(read_events(io.StringIO(text, newline=""), name="run", on_problem=told.append))
    assert told == []
    assert repr(points(engine, "train_loss")) == repr(train)
    assert repr(points(engine, "val_loss")) == repr(val)


def points(engine: Engine, role: str) -> dict[int, float]:
    """What the rules are given of a role: values by step."""
    found = engine.series(role)
    return {} if found is None else dict(zip(found.raw_steps.tolist(), found.raw_values.tolist(), strict=True))


def test_a_file_exported_by_tensorboard_has_its_tag_in_its_name(tmp_path: Path) -> None:
    path = tmp_path / "run-version_0-tag-train_loss.csv"
    path.write_text("Wall time,Step,Value\n1700000000.5,0,4.5\n1700000001.5,10,nan\n")
    assert [event["train_loss"] for event in read_events(path)][:1] == [4.5]


@pytest.mark.parametrize(
    "text", ["name,colour\nfoo,red\n", '{"a": {"b": [1, "x"]}}\n', "It was the best of times.\n" * 9]
)
def test_what_is_no_log_is_refused_with_what_would_be_one(text: str) -> None:
    with pytest.raises(UnreadableLog, match="a run log is JSON lines"):
        list(read_events(io.StringIO(text)))


# -- what the names mean ------------------------------------------------------------------------------------------------


def test_a_perplexity_stands_for_the_loss_that_is_not_logged_and_gives_way_to_one_that_is() -> None:
    rows: list[dict[str, Any]] = [{"step": step, "train_ppl": math.exp(3.0), "val_ppl": math.inf} for step in range(80)]
    engine = Engine()
    engine.observe_all(rows)
    assert points(engine, "train_loss")[79] == pytest.approx(3.0) and points(engine, "val_loss")[79] == math.inf
    engine.observe({"step": 80, "train_loss": 2.5, "train_ppl": 1.0})
    engine.observe({"step": 81, "train_ppl": 1.0})
    assert points(engine, "train_loss") == {80: 2.5}


def test_a_loss_logged_once_before_the_first_step_gives_way_and_later_ones_do_not() -> None:
    engine = Engine()
    engine.observe_all([{"step": 0, "train_loss": 4.5}, {"step": 0, "loss": 4.25}, {"step": 1, "loss": 4.0}])
    assert points(engine, "train_loss") == {0: 4.25, 1: 4.0}
    engine = Engine()
    engine.observe_all([{"step": 0, "train_loss": 4.5}, {"step": 1, "train_loss": 4.25}, {"step": 2, "loss": 9.0}])
    assert points(engine, "train_loss") == {0: 4.5, 1: 4.25}


@pytest.mark.parametrize(
    "text",
    [
        "train loss 4.5\nvalidate loss 4.25\ndone\n",  # what a run came to
        "The train loss 4.5 was lower\n" * 8,
        "Ep. 7 of the series cost 34.46 in all\n" * 8,
        "validation loss 4.25\n" * 8,
    ],
)
def test_what_only_speaks_of_a_loss_is_no_log(text: str) -> None:
    with pytest.raises(UnreadableLog):
        list(read_events(io.StringIO(text), name="run", on_problem=lambda _: None))
