"""Signs that a second series bears out, each beside a healthy run that looks like it: what speaks, and what stays silent."""

from __future__ import annotations

from typing import Any

import numpy as np

CONFIG = {"vocab_size": 256, "max_steps": 1000, "learning_rate": 1e-3}
LEARNED = 2.0 + 3.54 * np.exp(-np.arange(1000) / 120)
RATE = np.full(1000, 1e-3)


def test_a_first_block_without_gradient_is_dead_though_the_loss_falls(assert_finds: Any, run: Any) -> None:
    events = run(train_loss=LEARNED, grad_norm=np.ones(1000), **{"train/grad_norm_first": np.zeros(1000), "train/grad_norm_last": np.ones(1000)})  # fmt: skip
    assert "first block" in assert_finds(events, "vanishing-gradients", config=CONFIG).title


def test_a_frozen_first_block_of_a_fine_tune_is_meant(assert_silent: Any, run: Any) -> None:
    events = run(train_loss=LEARNED / 3, grad_norm=np.ones(1000), **{"train/grad_norm_first": np.zeros(1000), "train/grad_norm_last": np.ones(1000)})  # fmt: skip
    assert_silent(events, "vanishing-gradients", config=CONFIG)


def test_a_first_block_that_dies_in_mid_run_is_told_by_one_zero(
    assert_finds: Any, assert_silent: Any, run: Any
) -> None:
    usual = 0.4 + 0.05 * np.random.default_rng(2).standard_normal(200)

    def story(at: int, *after: float) -> list[dict[str, Any]]:
        first = usual.copy()
        first[at : at + len(after)] = after
        return run(train_loss=LEARNED[:200], grad_norm=np.ones(200), **{"train/grad_norm_first": first, "train/grad_norm_last": np.ones(200)})[:140]  # fmt: skip

    finding = assert_finds(story(120, 0.0, 0.02, 0.04, 0.05, 0.07, 0.06), "vanishing-gradients", config=CONFIG)
    assert (finding.first_step, finding.detected_step) == (120, 123)
    assert_finds(
        story(120, 0.0, 0.25, 0.21, 0.23), "vanishing-gradients", config=CONFIG
    )  # more than half, and never so low
    assert_silent(story(120, 0.0, 0.41, 0.39, 0.42), "vanishing-gradients", config=CONFIG)  # left out of one step
    assert_silent(story(120, 0.0, 0.25, 0.38, 0.23), "vanishing-gradients", config=CONFIG)
    assert_silent(story(120, 0.01, 0.02, 0.04, 0.05), "vanishing-gradients", config=CONFIG)
    assert_silent(story(5, 0.0, 0.02, 0.04, 0.05), "vanishing-gradients", config=CONFIG)  # nothing known yet
    skipped = [{**row, "train/grad_norm_last": float(row["step"] != 120)} for row in story(120, 0.0, 0.02, 0.04, 0.05)]
    assert_silent(skipped, "vanishing-gradients", config=CONFIG)  # no block had one


def test_a_rate_that_is_switched_off_needs_no_plan_to_be_told(assert_finds: Any, run: Any) -> None:
    rate = np.where(np.arange(1000) < 300, 1.234e-3, 0.0)
    loss = np.where(np.arange(1000) < 300, LEARNED, LEARNED[300])
    assert "exactly 0" in assert_finds(run(train_loss=loss, lr=rate), "learning-rate-schedule").title


def test_a_rate_thrown_far_above_its_old_peak_is_told_and_a_restart_is_not(
    assert_finds: Any, assert_silent: Any, run: Any
) -> None:
    loss = LEARNED + np.where(np.arange(1000) < 500, 0.0, 0.6)
    thrown = np.where(np.arange(1000) < 500, 1e-3, 5e-2)
    assert "jumped" in assert_finds(run(train_loss=loss, lr=thrown), "learning-rate-schedule").title
    cosine = 5e-4 * (1 + np.cos(np.pi * (np.arange(1000) % 250) / 250))
    assert_silent(run(train_loss=LEARNED, lr=cosine), "learning-rate-schedule")


def test_a_rate_thrown_up_is_a_warning_if_validation_alone_shows_it(assert_finds: Any, findings: Any, run: Any) -> None:
    thrown = np.where(np.arange(400) < 300, 1e-3, 5e-2)

    def story(factor: float) -> list[dict[str, Any]]:
        rows = run(train_loss=LEARNED[:400], lr=thrown)
        val = LEARNED[:400] * np.where(np.arange(400) < 300, 1.0, factor)
        return [{**row, **({"val_loss": float(val[at])} if at % 40 == 0 else {})} for at, row in enumerate(rows)]

    assert "jumped" in assert_finds(story(1.15), "learning-rate-schedule").title
    assert [str(f.severity) for f in findings(story(1.0)) if f.rule == "learning-rate-schedule"] == ["info"]


def test_losses_that_climb_together_have_diverged_and_one_alone_has_not(
    assert_finds: Any, assert_silent: Any, run: Any
) -> None:
    climb = np.concatenate([LEARNED[:600], LEARNED[600] * (1 + 0.12 * np.arange(400) / 400)])
    both = [
        {**row, **({"val_loss": float(climb[at])} if at % 50 == 0 else {})}
        for at, row in enumerate(run(train_loss=climb))
    ]
    assert_finds(both, "divergence")
    steady = [
        {**row, **({"val_loss": float(LEARNED[at])} if at % 50 == 0 else {})}
        for at, row in enumerate(run(train_loss=climb))
    ]
    assert_silent(steady, "divergence")


def test_first_losses_thrown_up_by_a_rate_nothing_bears(assert_finds: Any, run: Any) -> None:
    loss = [5.57, 3.99, 5.14, 7.95, 7.68, 8.61, 7.09, 11.07, 9.98, 8.84, 5.84, 8.87, 5.98, 6.68, 6.28]
    finding = assert_finds(run(train_loss=loss, lr=[1.0] * 15), "learning-rate-too-high", config={"vocab_size": 256})
    assert {"learning_rate": "×0.1"} in [remedy.patch for remedy in finding.remedies]


def test_the_rates_of_all_steps_say_how_much_must_have_been_gained(
    assert_finds: Any, assert_silent: Any, run: Any
) -> None:
    norms_only = 5.54 - 0.2 * (1 - np.exp(-np.arange(1000) / 60))
    assert_finds(run(train_loss=norms_only, lr=RATE), "loss-not-decreasing", config=CONFIG)
    assert_silent(run(train_loss=LEARNED, lr=RATE), "loss-not-decreasing", config=CONFIG)


def test_a_loss_far_below_validation_within_the_first_pass_has_seen_the_answers(
    assert_finds: Any, findings: Any, run: Any
) -> None:
    def story(passes: float) -> list[dict[str, Any]]:
        rows = run(train_loss=5.5 * np.exp(-np.arange(200) / 30) + 0.05, epoch=passes * np.arange(200) / 200)
        return [{**row, **({"val_loss": 5.5 + at / 200} if at % 20 == 0 else {})} for at, row in enumerate(rows)]

    assert_finds(story(0.5), "suspicious-loss", config=CONFIG)
    by_heart = [finding.rule for finding in findings(story(400.0), CONFIG) if finding.severity != "info"]
    assert by_heart == ["overfitting"], "what was seen hundreds of times is learned by heart"


HALF = np.arange(150)
CALM = 2.5 - 0.002 * HALF + 0.04 * np.random.default_rng(5).standard_normal(150)


def test_a_run_that_is_worse_than_knowing_nothing_has_diverged(assert_finds: Any, assert_silent: Any, run: Any) -> None:
    swings = 7.4 + 2.5 * np.sin(1.7 * np.arange(40))
    loss = np.concatenate([[5.55, 4.75, 4.3, 4.7, 6.1, 6.4], swings])
    finding = assert_finds(run(train_loss=loss), "divergence", config=CONFIG)
    assert finding.detected_step <= 30
    assert finding.remedies[0].patch == {"learning_rate": "×0.3"}
    hot = assert_finds(run(train_loss=loss, lr=np.full(46, 1.0)), "divergence", config={**CONFIG, "learning_rate": 1.0})
    assert hot.remedies[0].patch == {"learning_rate": "×0.1"}, "a third of such a rate would be one as well"
    high_start = 7.0 - 0.08 * np.arange(60)
    assert_silent(run(train_loss=high_start), "divergence", config=CONFIG)


def test_few_losses_thrown_up_with_their_gradients_by_a_rate_nobody_bears(findings: Any, run: Any) -> None:
    loss = np.concatenate([np.linspace(5.5, 3.6, 12), 5.3 + 0.6 * np.sin(2.1 * np.arange(20))])
    grown = np.concatenate([np.full(12, 0.6), np.full(20, 6.0)])

    def reasons(norms: Any, rate: float) -> list[str]:
        found = findings(run(train_loss=loss, grad_norm=norms, lr=np.full(32, rate))[:22], CONFIG)
        return [finding.evidence[0].sentence for finding in found if finding.rule == "divergence"]

    assert any("the gradient norm with it" in sentence for sentence in reasons(grown, 0.5))
    assert not any("the gradient norm with it" in sentence for sentence in reasons(np.full(32, 0.6), 0.5))
    assert not any("the gradient norm with it" in sentence for sentence in reasons(grown, 1e-3))


def test_two_norms_after_a_calm_stretch_are_an_outlier_and_three_a_climb(
    assert_finds: Any, assert_silent: Any, run: Any
) -> None:
    calm, loss = np.full(40, 0.33), np.linspace(3.0, 2.5, 44)
    echo = np.concatenate([calm, [2.6, 23.9, 0.45, 0.6]])
    assert_silent(run(train_loss=loss, grad_norm=echo), "exploding-gradients")
    climb = np.concatenate([calm, [2.6, 23.9, 180.0, 2000.0]])
    assert_finds(run(train_loss=loss, grad_norm=climb), "exploding-gradients")


def test_a_moderate_spike_is_a_warning_once_an_evaluation_shows_it(assert_finds: Any, findings: Any, run: Any) -> None:
    loss = CALM + 2 * np.exp(-HALF / 5) + np.where((HALF >= 122) & (HALF < 130), 0.5, 0.0)

    def story(evaluation: float) -> list[dict[str, Any]]:
        at = {0: 2.6, 40: 2.45, 80: 2.35, 128: evaluation}
        rows = run(train_loss=loss)[:131]
        return [{**row, **({"val_loss": at[step]} if step in at else {})} for step, row in enumerate(rows)]

    assert_finds(story(2.8), "loss-spike")
    spoken = [finding for finding in findings(story(2.3)) if finding.rule == "loss-spike"]
    assert [finding.severity for finding in spoken] == ["info"]


def test_a_spike_of_a_falling_loss_is_measured_from_where_it_had_come_to(
    assert_finds: Any, findings: Any, run: Any
) -> None:
    at = np.arange(130)
    falling = 2.85 - 0.005 * at + 0.03 * np.random.default_rng(4).standard_normal(130)
    hit = falling + np.where(
        (at >= 120) & (at < 126), 0.6, 0.0
    )  # a quarter of where it was, a tenth of the last 50 points
    assert assert_finds(run(train_loss=hit[:126]), "loss-spike", info=True).detected_step <= 123
    assert "loss-spike" not in [finding.rule for finding in findings(run(train_loss=falling))]


def test_the_third_spike_is_a_warning_though_each_is_moderate(assert_finds: Any, run: Any) -> None:
    at = np.arange(400)
    noise = 0.04 * np.random.default_rng(6).standard_normal(400)
    loss = 2.5 + noise + np.where((at >= 150) & (at % 60 < 5), 0.6, 0.0)
    assert assert_finds(run(train_loss=loss), "loss-spike").occurrences >= 3


def test_a_hard_passage_of_a_noisy_text_is_no_spike_though_many_points_share_it(findings: Any, run: Any) -> None:
    loss = 2.0 + 0.16 * np.random.default_rng(5).standard_normal(200)
    loss[120:134] += 0.9  # 5.6 times the noise, as seen of a text that was read in its order
    assert "loss-spike" not in [finding.rule for finding in findings(run(train_loss=loss))]


def test_a_spike_of_a_quarter_is_a_warning_where_it_is_beyond_all_doubt(
    assert_finds: Any, findings: Any, run: Any
) -> None:
    quiet = np.random.default_rng(5).standard_normal(200)

    def story(rise: float, points: int) -> list[dict[str, Any]]:
        loss = 2.4 + 0.06 * quiet
        loss[120 : 120 + points] += rise
        return run(train_loss=loss)[: 122 + points]

    assert_finds(story(0.62, 8), "loss-spike")
    told = [finding.severity for finding in findings(story(0.5, 8)) if finding.rule == "loss-spike"]
    assert told == ["info"]  # a fifth is not grave, however sure


def test_text_in_a_fixed_order_wanders_and_that_is_no_spike(findings: Any, run: Any) -> None:
    rng = np.random.default_rng(11)
    wander = np.zeros(300)
    for at in range(1, 300):
        wander[at] = 0.9 * wander[at - 1] + 0.12 * rng.standard_normal()
    assert "loss-spike" not in [finding.rule for finding in findings(run(train_loss=3.0 + wander))]
