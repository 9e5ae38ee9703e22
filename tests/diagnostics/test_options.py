"""Options of rules from a settings file: what is taken, and the one sentence for everything else."""

from __future__ import annotations

import math
from typing import Any

import pytest

from diagnostics import BY_ID, Engine, OptionError
from diagnostics.options import RuleOptions


def test_a_projects_own_options_lie_over_those_for_all() -> None:
    options = RuleOptions.from_mapping(
        {
            "plateau": {"fall": 0.01, "share": 0.5},
            "projects": {"tiny": {"plateau": {"share": 0.9}, "loss-spike": {"hot": 5.0}}},
        }
    )
    assert options.of("other") == {"plateau": {"fall": 0.01, "share": 0.5}}
    assert options.of("tiny") == {"plateau": {"fall": 0.01, "share": 0.9}, "loss-spike": {"hot": 5}}
    assert type(options.of("tiny")["loss-spike"]["hot"]) is int, "a count stays a count"
    assert RuleOptions().of("tiny") == {}


@pytest.mark.parametrize("rule", BY_ID.values(), ids=lambda rule: rule.id)
def test_every_rules_own_defaults_may_be_written_down(rule: Any) -> None:
    options = RuleOptions.from_mapping({rule.id: rule.options}).of("")
    assert options == {rule.id: rule.options}
    Engine(options=options)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ([1], "rule settings must be a table, not [1]"),
        ({"plato": {}}, "no rule is called 'plato'; rules are: non-finite-loss"),
        ({"plateau": 3}, "plateau must be a table of options, not 3; it has: fall (0.005)"),
        ({"plateau": {"shard": 1}}, "plateau has no option 'shard'; it has: fall"),
        ({"plateau": {"share": "much"}}, "plateau: share = 'much' is not a number; the default is"),
        ({"plateau": {"share": True}}, "plateau: share = True is not a number"),
        ({"plateau": {"share": math.nan}}, "plateau: share = nan is not a number"),
        ({"loss-spike": {"rise": -3}}, "loss-spike: rise = -3 is below 0; the default is 0.15"),
        ({"plateau": {"share": math.inf}}, "plateau: share = inf is not a finite number"),
        ({"loss-spike": {"hot": 2.5}}, "loss-spike: hot = 2.5 is not a whole number; the default is 3"),
        ({"projects": 3}, "projects must be a table, not 3"),
        ({"projects": {"p": 3}}, "projects.p must be a table, not 3"),
        ({"projects": {"p": {"plateau": {"shard": 1}}}}, "projects.p: plateau has no option 'shard'"),
        ({"projects": {"p": {"plato": {}}}}, "projects.p: no rule is called 'plato'"),
    ],
)
def test_everything_else_gets_one_sentence(value: Any, sentence: str) -> None:
    with pytest.raises(OptionError) as raised:
        RuleOptions.from_mapping(value)
    assert str(raised.value).startswith(sentence) and "\n" not in str(raised.value)
