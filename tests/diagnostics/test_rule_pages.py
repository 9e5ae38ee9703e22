"""Every rule is in the table, its page is whole, its options are its signature, and its example is true."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from diagnostics import HEADINGS, RULES, OptionError, Rule, docs
from diagnostics.examples import examples
from diagnostics.priority import EXPLAINS, ORDER
from diagnostics.roles import BY_ID as ROLES

ROOT = Path(__file__).parents[2]
FIRST = {
    "non-finite-loss", "masked-non-finite", "loss-not-decreasing", "learning-rate-too-low", "learning-rate-too-high",
    "divergence", "loss-spike", "plateau", "overfitting", "exploding-gradients", "vanishing-gradients",
}  # fmt: skip
each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)


def test_the_public_ids_are_there_once() -> None:
    ids = [rule.id for rule in RULES]
    assert set(ids) >= FIRST
    assert len(ids) == len(set(ids))


def test_every_file_is_in_the_table() -> None:
    files = {path.stem.replace("_", "-") for path in (ROOT / "diagnostics/rules").glob("*.py")} - {"--init--"}
    assert files == {rule.id for rule in RULES}


@each_rule
def test_headings_are_complete_and_in_order(rule: Rule) -> None:
    assert tuple(re.findall(r"^## (.+)$", rule.page, re.MULTILINE)) == HEADINGS
    assert all(rule.sections().values()), "no heading is empty"
    assert rule.summary.endswith(".")


@each_rule
def test_options_on_the_page_are_the_signatures(rule: Rule) -> None:
    told = re.findall(r"^- `(\w+)` \(([^)]+)\):", rule.sections()["Options"], re.MULTILINE)
    assert {name: float(value) for name, value in told} == {name: float(value) for name, value in rule.options.items()}


@each_rule
def test_the_example_fires_and_the_other_stays_silent(rule: Rule, assert_finds: Any, assert_silent: Any) -> None:
    fires, silent = examples(rule)["Fires"], examples(rule)["Silent"]
    finding = assert_finds(fires.events(), rule.id, config=fires.config, info=True)
    assert finding.because is None
    assert finding.evidence
    assert finding.causes
    assert finding.remedies
    assert 0 < finding.confidence <= 1
    assert "{" not in finding.title
    assert_silent(silent.events(), rule.id, config=silent.config)


@each_rule
def test_roles_and_priorities_exist(rule: Rule) -> None:
    assert all(role in ROLES for roles in rule.needs for role in roles)
    assert all(role in ROLES for role in (*rule.helps, rule.clock))
    assert rule.id in ORDER


def test_what_explains_is_a_rule_and_never_goes_in_a_circle() -> None:
    ids = {rule.id for rule in RULES}
    assert set(EXPLAINS) | {name for names in EXPLAINS.values() for name in names} <= ids
    for rule, explained in EXPLAINS.items():
        assert all(rule not in EXPLAINS.get(other, ()) for other in explained)


def test_docs_page_is_fresh() -> None:
    assert (ROOT / "docs/rules.md").read_text(encoding="utf-8") == docs.page(), (
        "python -m diagnostics.docs > docs/rules.md"
    )


@each_rule
def test_a_wrong_option_is_refused_with_those_that_exist(rule: Rule) -> None:
    with pytest.raises(OptionError, match=f"{rule.id} has no option 'nonsense'; it has: "):
        rule.checked_options({"nonsense": 1})
    with pytest.raises(OptionError, match="is not a number; the default is"):
        rule.checked_options({next(iter(rule.options)): "high"})
