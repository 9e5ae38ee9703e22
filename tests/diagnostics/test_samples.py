"""Rules on samples: sick output is named in time, healthy output of every kind is left alone, replay changes nothing."""

from __future__ import annotations

import json
import pydoc_data.topics
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diagnostics import Engine, samples

ROOT = Path(__file__).parents[2]
PLAN = {"max_steps": 1000}
LOOP = "and the king said to the king that he was " * 10
ENGLISH = "\n\n".join(pydoc_data.topics.topics[name] for name in sorted(pydoc_data.topics.topics))
CODE = "\n".join(path.read_text("utf-8") for path in sorted((ROOT / "diagnostics").glob("*.py")))
CHINESE = (
    "春天来了,河边的柳树发出了新芽,孩子们在草地上奔跑,老人坐在长椅上晒太阳。远处的山上还有一点雪,风却已经不冷了。"
    "集市上人来人往,卖菜的、卖布的、卖糖葫芦的,都在大声吆喝。一只小狗跟着主人穿过人群,忽然停下来,望着卖肉的摊子不肯走。"
    "黄昏的时候,炊烟从每家的屋顶升起来,母亲们站在门口,喊自己的孩子回家吃饭。夜里下了一场小雨,第二天早上空气格外清新。"
)
RULES = ("repetitive-output", "garbage-output", "memorized-output")


def windows(text: str, length: int, count: int, seed: int) -> list[str]:
    """Pieces of a text, as a good model would write them."""
    rng = random.Random(seed)
    return [text[(at := rng.randrange(max(1, len(text) - length))) : at + length] for _ in range(count)]


def sampled(rounds: list[list[str]], steps: list[int] | None = None, **extra: Any) -> list[dict[str, Any]]:
    """A run that learns, with rounds of samples."""
    steps = steps or [100 * (at + 1) for at in range(len(rounds))]
    events: list[dict[str, Any]] = []
    for step, texts in zip(steps, rounds, strict=True):
        events.append({"type": "metrics", "step": step, "train/loss": 2 + 200 / (100 + step)})
        events += [{"type": "sample", "step": step, "prompt": "To", "text": "To" + text, **extra} for text in texts]
    return [*events, {"type": "metrics", "step": steps[-1] + 1, "train/loss": 2.0}]


def test_loops_are_found_in_their_second_round(assert_finds: Any) -> None:
    good = windows(ENGLISH, 400, 4, 0)
    events = sampled([good, good, [LOOP] * 4, [LOOP] * 3 + good[:1], [LOOP] * 4])
    finding = assert_finds(events, "repetitive-output", config=PLAN)
    assert (finding.first_step, finding.detected_step, finding.severity) == (300, 400, "warning")
    assert "said to the king" in finding.evidence[0].sentence


@pytest.mark.parametrize(
    "text",
    ["\ufffdab\ufffd" * 40, "\x00\x01\x02 word " * 20, "", "  \n ", "the " * 60, "aaaa" * 60, "的" * 100],
)
def test_garbage_is_found(assert_finds: Any, text: str) -> None:
    finding = assert_finds(sampled([[text] * 4] * 3), "garbage-output", config=PLAN)
    assert finding.detected_step == 200
    assert finding.because is None


def sums(rng: random.Random, count: int, *, stuck: bool) -> str:
    """Lines of sums: all different, or the same one with a digit changed in every third line."""
    digits = [rng.randrange(100, 999) if not stuck or at % 3 == 0 else 322 for at in range(count)]
    return "\n".join(f"{one}+{377 if stuck else rng.randrange(100, 999)}={one + 377}" for one in digits)


def test_a_loop_that_changes_a_digit_at_each_turn_is_one(assert_finds: Any, assert_silent: Any) -> None:
    rng = random.Random(3)
    for stuck, check in ((True, assert_finds), (False, assert_silent)):
        rounds = [[sums(rng, 40, stuck=stuck) for _ in range(4)] for _ in range(3)]
        check(sampled(rounds), "repetitive-output", config=PLAN)


def test_one_prompt_a_round_takes_three_rounds(assert_finds: Any) -> None:
    assert assert_finds(sampled([[LOOP]] * 4), "repetitive-output", config=PLAN).detected_step == 300


def test_loops_that_stop_are_over_after_two_good_rounds(findings: Any) -> None:
    good = windows(ENGLISH, 400, 4, 0)
    (found,) = findings(sampled([[LOOP] * 4] * 3 + [good] * 3), PLAN)
    assert (found.rule, found.status, found.severity) == ("repetitive-output", "resolved", "info")


def test_overfitting_explains_loops(findings: Any) -> None:
    events = sampled([[LOOP] * 4] * 9)
    val = [4.2, 3.5, 3.1, 3.0, 3.2, 3.6, 4.0, 4.4, 4.8]
    for event, loss in zip([e for e in events if e["type"] == "metrics"], val, strict=False):
        event["val/loss"] = loss
    found = {finding.rule: finding for finding in findings(events, PLAN)}
    assert found["repetitive-output"].because is not None
    assert found["overfitting"].because is None
    assert found["repetitive-output"].causes[0].cause == "overfitting"


@pytest.mark.parametrize("kind", ["english", "code", "chinese", "json", "verse"])
@pytest.mark.parametrize("length", [60, 120, 300, 600, 2000])
@pytest.mark.parametrize("seed", range(4))
def test_healthy_text_is_left_alone(assert_silent: Any, kind: str, length: int, seed: int) -> None:
    rows = [{"id": n, "name": f"user {n}", "value": random.Random(n).random()} for n in range(300)]
    source = {
        "english": ENGLISH, "code": CODE, "chinese": CHINESE * 5, "json": json.dumps(rows, indent=1),
        "verse": "Row, row, row your boat, gently down the stream. Merrily, merrily, merrily, merrily, life is but a dream. "
        + CODE,
    }[kind]  # fmt: skip
    if kind == "chinese":
        length = min(length, len(CHINESE))
    assert_silent(sampled([windows(source, length, 4, 9 * seed + at) for at in range(6)]), *RULES, config=PLAN)


@pytest.mark.parametrize("text", [LOOP, "", "\ufffd" * 100, "the the the the " * 20])
def test_anything_is_normal_before_five_percent_of_the_plan(assert_silent: Any, text: str) -> None:
    events = sampled([[text] * 4] * 4, steps=[0, 10, 20, 40])
    assert_silent(events, *RULES, config=PLAN)


def test_without_a_plan_the_first_two_rounds_are_not_judged(assert_silent: Any, assert_finds: Any) -> None:
    assert_silent(sampled([[LOOP] * 4] * 3), *RULES)
    assert assert_finds(sampled([[LOOP] * 4] * 4), "repetitive-output").detected_step == 400


@pytest.mark.parametrize("text", ["ha ha ha ha ha ha ha", "no no no", "42"])
def test_short_texts_are_left_alone(assert_silent: Any, text: str) -> None:
    assert_silent(sampled([[text] * 4] * 5), *RULES, config=PLAN)


@pytest.mark.parametrize("asked", [{"temperature": 0}, {"temperature": 0.0, "top_k": 0}, {"top_k": 1}])
def test_greedy_decoding_that_was_asked_for_may_loop(assert_silent: Any, asked: dict[str, float]) -> None:
    assert_silent(sampled([[LOOP] * 4] * 4, **asked), "repetitive-output", config=PLAN)
    assert_silent(sampled([[LOOP] * 4] * 4), "repetitive-output", config={**PLAN, **asked})


def test_a_samples_own_temperature_counts_more_than_the_configs(assert_finds: Any) -> None:
    events = sampled([[LOOP] * 4] * 4, temperature=0.8, top_k=0)
    assert_finds(events, "repetitive-output", config={**PLAN, "temperature": 0.0})


def test_one_bad_round_or_half_of_the_texts_is_not_enough(assert_silent: Any) -> None:
    good = windows(ENGLISH, 400, 4, 3)
    assert_silent(sampled([good, [LOOP] * 4, good, [LOOP] * 4, good]), *RULES, config=PLAN)
    assert_silent(sampled([[LOOP, LOOP, *good[:2]]] * 5), *RULES, config=PLAN)


def test_samples_do_not_change_what_other_rules_say(findings: Any) -> None:
    loss = [4.2, 3.6, 3.2, 2.9, 2.7, 2.6, 2.55, 2.52, 2.5, 2.49] + [2.51] * 60
    plain = [{"type": "metrics", "step": step, "loss": value} for step, value in enumerate(loss)]
    mixed = [
        event
        for row in plain
        for event in (row, {"type": "sample", "step": row["step"], "prompt": "a", "text": "a good text"})
    ]
    assert findings(plain) == findings(mixed) != []


def test_coverage_says_what_cannot_be_judged() -> None:
    engine = Engine()
    engine.observe({"type": "metrics", "step": 1, "loss": 3.0})
    assert "no text samples: repeated phrases cannot be seen" in engine.coverage().skipped["repetitive-output"]
    engine.observe({"type": "sample", "step": 1, "text": "x"})
    assert "repetitive-output" in engine.coverage().ran


def test_a_rewind_forgets_the_samples_after_it(assert_silent: Any) -> None:
    good = windows(ENGLISH, 400, 4, 5)
    events = sampled([good, [LOOP] * 4])
    again = sampled([[LOOP] * 4, good, good], steps=[150, 250, 350])
    assert_silent([*events, {"type": "rewind", "step": 100}, *again], *RULES, config=PLAN)


@pytest.mark.parametrize(
    "event",
    [
        {"type": "sample"}, {"type": "sample", "text": None}, {"type": "sample", "text": 3, "step": 1},
        {"type": "sample", "text": "x", "step": "NaN"}, {"type": "sample", "text": "x", "step": 10**400},
        {"type": "sample", "text": "x", "prompt": None, "temperature": "NaN", "verbatim_tokens": "Infinity"},
        {"type": "sample", "text": "x", "temperature": True, "top_k": "one", "verbatim_characters": -4},
    ],
)  # fmt: skip
def test_broken_samples_cost_nothing(assert_silent: Any, event: dict[str, Any]) -> None:
    assert_silent([*sampled([["a good text"]]), event, event, event, *sampled([["another"]], steps=[900])], *RULES)


def test_memory_is_bounded() -> None:
    log = samples.SampleLog()
    for step in range(100):
        for _ in range(200):
            one = samples.read_sample({"text": "x" * 100_000}, lambda value: None)
            assert one is not None
            log.add(one, step, step)
        log.close()
    assert len(log.rounds) == samples.KEPT_ROUNDS
    assert max(len(one.samples) for one in log.rounds) == samples.MAX_SAMPLES
    assert max(len(sample.text) for one in log.rounds for sample in one.samples) == samples.MAX_TEXT


texts_drawn = st.sampled_from([LOOP, "", "\ufffd" * 60, CHINESE, ENGLISH[:500], "the " * 50])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(texts_drawn, max_size=4), min_size=1, max_size=8), st.sets(st.integers(0, 60)))
def test_asking_in_between_changes_nothing(rounds: list[list[str]], asked: set[int]) -> None:
    events = [*sampled(rounds), {"type": "state", "state": "finished"}]
    whole, pieces = Engine(PLAN), Engine(PLAN)
    for at, event in enumerate(events):
        whole.observe(event)
        pieces.observe(event)
        if at in asked:
            pieces.findings()
    assert whole.findings() == pieces.findings()


@pytest.mark.parametrize(
    "sent",
    [
        {"verbatim_tokens": 60, "verbatim_characters": 240, "verbatim_places": 1},
        {"verbatim_tokens": 150, "verbatim_characters": 150},
        {"verbatim_tokens": 55},
        {"verbatim_characters": 160.0, "verbatim_places": 3},
    ],
)
def test_two_copies_of_the_training_text_are_found(assert_finds: Any, sent: dict[str, float]) -> None:
    copied = sampled([[ENGLISH[:300], ENGLISH[300:600]]], **sent)
    finding = assert_finds(copied, "memorized-output", config=PLAN)
    assert (finding.severity, finding.detected_step) == ("warning", 100)


def test_a_short_text_that_is_all_copy_is_found(assert_finds: Any) -> None:
    events = sampled([[CHINESE[:120]] * 2], verbatim_tokens=118, verbatim_characters=118, verbatim_places=1)
    assert_finds(events, "memorized-output", config=PLAN)


@pytest.mark.parametrize(
    "sent",
    [
        {"verbatim_tokens": 120, "verbatim_characters": 120},
        {"verbatim_tokens": 49, "verbatim_characters": 149},
        {"verbatim_tokens": 60, "verbatim_characters": 240, "verbatim_places": 40},
        {"verbatim_tokens": "NaN", "verbatim_characters": "Infinity"},
        {},
    ],
)
def test_short_runs_boilerplate_and_unmeasured_samples_are_left_alone(assert_silent: Any, sent: dict[str, Any]) -> None:
    assert_silent(sampled([[ENGLISH[:600]] * 4] * 4, **sent), *RULES, config=PLAN)


def test_one_copy_in_three_rounds_is_not_enough(assert_silent: Any) -> None:
    long = {"verbatim_tokens": 90, "verbatim_characters": 400}
    events = sampled([[ENGLISH[:600]]], **long) + sampled([[CODE[:600]]] * 3, steps=[200, 300, 400])
    assert_silent(events, *RULES, config=PLAN)


def test_a_ruler_is_no_passage(assert_silent: Any) -> None:
    ruler = sampled([["-" * 300] * 4], verbatim_tokens=300, verbatim_characters=300, verbatim_places=1)
    assert_silent(ruler, "memorized-output", config=PLAN)


def test_copies_beside_a_rising_validation_loss_are_critical(findings: Any) -> None:
    events = sampled([[ENGLISH[:300]] * 2] * 5, verbatim_tokens=70, verbatim_characters=300)
    points = [event for event in events if event["type"] == "metrics"]
    for event, loss in zip(points, [3.0, 2.8, 3.1, 3.6, 4.2], strict=False):
        event["val/loss"] = loss
    (found,) = (f for f in findings(events, PLAN) if f.rule == "memorized-output")
    assert found.severity == "critical"


@pytest.mark.parametrize(("length", "speaks"), [(200, True), (197, True), (160, False)])
def test_a_text_a_line_end_short_of_the_window_is_judged_like_it(findings: Any, length: int, speaks: bool) -> None:
    lines = ["311+662=100", "311+362=100", "399+992=100", "700+70=1022", "760+71=1111", "955+950=105"]
    text = "\n".join(lines[at % 3] if at % 6 else lines[3 + at // 6 % 3] for at in range(20))[:length]
    found = [finding.rule for finding in findings(sampled([[text] * 2] * 5), PLAN)]
    assert ("repetitive-output" in found) is speaks
