"""How a log was read: every name is told as what it was taken for, as what it lost to, or as unused."""

from __future__ import annotations

import math
from typing import Any

import pytest

from diagnostics import Engine
from diagnostics.reading import SHOWN, Reading, sentence
from diagnostics.report import as_markdown, as_text, make_report

ROW = {"step": 3, "time": 1.5}


def read(*rows: dict[str, Any], roles: dict[str, str] | None = None) -> Reading:
    engine = Engine(roles=roles)
    for row in rows:
        engine.observe(ROW | row)
    return engine.reading()


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"train_loss": 3.0, "eval_loss": 3.1, "lr": 1e-3},
         "steps 3 to 3; validation loss ← eval_loss, learning rate ← lr; by name train_loss"),
        ({"total_loss": 3.0, "lm_loss": 2.9, "x": 1, "aux_loss": 0.1},
         "steps 3 to 3; training loss ← lm_loss (not total_loss); not used aux_loss, x (--map NAME=ROLE)"),
        ({"ppl": 20.0}, "steps 3 to 3; training loss ← ln ppl"),
        ({"ppl": 20.0, "loss": 3.0}, "steps 3 to 3; training loss ← loss; not used ppl (--map NAME=ROLE)"),
        ({"ppl": 20.0, "perplexity": 21.0}, "steps 3 to 3; training loss ← ln perplexity (not ppl) (--map NAME=ROLE)"),
        ({"train/loss": 3.0, "val/loss": 3.0, "grad_norm": 1.0}, "steps 3 to 3; by name train/loss, val/loss, grad_norm"),
        ({"foo": 1.0}, "not used foo (--map NAME=ROLE)"),
        ({"loss": "", "foo": "text"}, "not used foo (--map NAME=ROLE)"),
        ({}, ""),
    ],
)  # fmt: skip
def test_each_name_is_told(row: dict[str, Any], said: str) -> None:
    assert sentence(read(row)) == said


def test_a_user_s_own_names_are_told_like_the_others() -> None:
    found = read({"loss": 0.1, "nll_of_text": 3.0}, roles={"nll_of_text": "train_loss", "loss": ""})
    assert sentence(found) == "steps 3 to 3; training loss ← nll_of_text; not used loss (--map NAME=ROLE)"


def test_of_many_names_the_first_are_told_and_those_of_losses_before_the_others() -> None:
    found = read({f"x{at}": 1.0 for at in range(SHOWN)} | {"zz_loss": 1.0, "loss": 2.0})
    assert sentence(found).endswith(f"not used zz_loss, {', '.join(f'x{at}' for at in range(SHOWN - 1))} and 1 more (--map NAME=ROLE)")  # fmt: skip
    assert len(found.unused) == SHOWN + 1


def test_a_loss_that_comes_later_takes_the_place_of_its_perplexity() -> None:
    rows = [{"ppl": 20.0 - at, "step": at} for at in range(3)] + [{"loss": 2.0, "ppl": 7.4, "step": 3}]
    assert sentence(read(*rows)) == "steps 3 to 3; training loss ← loss; not used ppl (--map NAME=ROLE)"


def test_steps_are_those_of_the_losses_even_where_they_are_not_finite() -> None:
    found = read(*({"step": at, "loss": math.nan, "lr": 1.0} for at in range(4, 9)), {"step": 30, "lr": 1.0})
    assert found.steps == (4, 8)
    assert read({"step": 30, "lr": 1.0}).steps == (30, 30)


@pytest.mark.parametrize(
    ("losses", "others", "ends"),
    [
        (range(300), range(310), {"train_loss": 299}),
        (range(300), range(309), {}),
        (range(0, 300, 10), range(380), {}),
        (range(0, 300, 10), range(391), {"train_loss": 290}),
        (range(300), [*range(300), 900], {}),
        (range(300), range(300), {}),
        (range(9), range(300), {}),
        ([], range(300), {}),
    ],
    ids=["nothing but others", "one fewer", "a loss every ten steps", "missing then too", "a last word", "both", "too few", "none"],
)  # fmt: skip
def test_a_loss_that_ends_before_its_log_is_told(losses: Any, others: Any, ends: dict[str, int]) -> None:
    rows = [{"step": at, "lr": 1e-3} | ({"loss": 3.0} if at in losses else {"loss": None}) for at in others]
    found = read(*rows)
    assert found.ends == ends and Reading.of(found.to_mapping()).ends == ends
    assert ("training loss ends at step" in sentence(found)) is bool(ends)
    bulk = Engine()
    bulk.observe_all({"type": "metrics", **row} for row in rows)
    assert bulk.reading() == found


def test_evaluations_after_the_last_training_loss_are_no_sign_of_its_absence() -> None:
    rows = [{"step": at, "loss": 3.0} for at in range(100)] + [{"step": 100 + at, "val_loss": 3.0} for at in range(50)]
    assert read(*rows).ends == {}


def test_the_same_is_read_from_many_rows_at_a_stroke() -> None:
    rows = [{"type": "metrics", "step": at, "loss": 3.0, "total_loss": 4.0, "foo": 1.0} for at in range(9000)]
    bulk = Engine()
    bulk.observe_all(rows)
    assert bulk.reading() == read(*rows) != Engine().reading()
    assert bulk.reading().steps == (0, 8999)


def test_every_form_of_the_report_tells_it() -> None:
    engine = Engine()
    engine.observe({"step": 1, "total_loss": 3.0, "lm_loss": 2.9, "e\x1bvil": 1.0})
    report = make_report("x", engine)
    for text in (as_text(report), as_markdown(report)):
        assert "ead: steps 1 to 1; training loss ← lm_loss (not total_loss); not used e?vil (--map NAME=ROLE)" in text
    assert report.to_mapping()["read"] == {
        "steps": [1, 1],
        "roles": {"train_loss": "lm_loss"},
        "logarithms": [],
        "bits": [],
        "rivals": {"train_loss": ["total_loss"]},
        "unused": ["e\x1bvil"],
        "ends": {},
        "begins": [],
    }
    assert Reading.of(report.to_mapping()["read"]) == Reading(
        roles={"train_loss": "lm_loss"}, rivals={"train_loss": ("total_loss",)}, unused=("e\x1bvil",)
    )


def fairseq(base: float, smoothed: float = 0.0) -> list[dict[str, Any]]:
    return [
        {
            "step": at,
            "loss": nats / math.log(base) + smoothed,
            "nll_loss": nats / math.log(base),
            "ppl": round(math.exp(nats), 2),
        }
        for at, nats in enumerate((3.31, 3.05, 2.6, 2.2, 1.9))
    ]


@pytest.mark.parametrize("smoothed", [0.0, 1.2])
def test_losses_in_bits_are_known_by_the_perplexity_beside_them(smoothed: float) -> None:
    one, bulk = Engine(), Engine()
    for event in fairseq(2, smoothed):
        one.observe(event)
    bulk.observe_all(fairseq(2, smoothed))
    for engine in (one, bulk):
        loss = engine.series("train_loss")
        assert loss is not None
        assert loss.values[0] == pytest.approx(3.31 + smoothed * math.log(2))
        assert engine.reading().bits == ("train_loss",)
        assert "loss × ln 2" in sentence(engine.reading())


@pytest.mark.parametrize(
    "rows", [fairseq(math.e), [{"step": 0, "loss": 4.8}], [{"step": 0, "loss": 4.8, "ppl": math.inf}]]
)
def test_losses_in_nats_are_left_as_they_are(rows: list[dict[str, Any]]) -> None:
    engine = Engine()
    engine.observe_all(rows)
    assert engine.reading().bits == ()


def test_an_evaluation_without_a_perplexity_is_in_bits_as_training_is() -> None:
    engine = Engine()
    engine.observe_all([*fairseq(2), {"step": 9, "valid_loss": 3.0}])
    loss = engine.series("val_loss")
    assert loss is not None
    assert loss.last == pytest.approx(3.0 * math.log(2))


def test_what_is_not_finite_in_bits_is_not_finite() -> None:
    engine = Engine()
    rows = fairseq(2)
    engine.observe_all(
        [*rows, {"step": 9, "loss": math.nan, "ppl": math.nan}, {"step": 10, "loss": math.inf, "ppl": math.inf}]
    )
    loss = engine.series("train_loss")
    assert loss is not None
    assert [str(value) for value in loss.raw_values[-2:]] == ["nan", "inf"]
