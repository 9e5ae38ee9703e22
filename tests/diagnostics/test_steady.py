"""A finding opens once and does not flap: counted at every look, over recorded runs, sick and healthy.

Counted from what a reader sees, not from what a finding says of itself; the two must agree.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from benchmarks.zoo.storage import LOGS
from diagnostics import RULES, Engine, Rule, Severity
from diagnostics.view import RunView
from runwell.runlog import read_events

SICK = (
    "bad-batches-05", "labels-shuffled-late-00", "declared-rate-x1000-02", "duplicated-small-data-04", "rate-x1000-02",
    "wrong-group-02", "declared-rate-div1000-04", "long-diverges-00", "poisoned-document-00", "no-warmup-00", "dead-layer-00",
)  # fmt: skip
"""Those in which most was said more than once, and some of other kinds."""
HEALTHY = ("in-order-03", "dropout-08", "constant-00", "small-batch-11", "long-02", "batch-ramp-02", "wsd-01")

AGAIN, MAY_COME_BACK = 2, {"loss-spike": 5, "divergence": 3}
"""How often a finding may open once more. Bad batches that come again throw the loss up again each time."""


def reopenings(name: str) -> tuple[Counter[tuple[str, str]], Engine]:
    """How often each (rule, subject) opened once more, as somebody saw it who looked whenever the rules did."""
    status: dict[tuple[str, str], str] = {}
    again: Counter[tuple[str, str]] = Counter()

    def look(view: RunView) -> None:
        for finding in engine.findings():
            identity = finding.rule, finding.subject
            if finding.status == "open" and status.get(identity) == "resolved":
                again[identity] += 1
            status[identity] = finding.status

    onlooker = Rule(id="onlooker", needs=(), blind="", severity=Severity.INFO, look=look)
    engine = Engine(rules=(*RULES, onlooker))
    engine.observe_all(read_events(LOGS / "tune" / f"{name}.jsonl.gz"))
    assert not engine.coverage().failed
    return again, engine


@pytest.mark.parametrize("name", (*SICK, *HEALTHY))
def test_findings_do_not_flap(name: str) -> None:
    again, engine = reopenings(name)
    for finding in engine.findings():
        times = again[finding.rule, finding.subject]
        assert times <= MAY_COME_BACK.get(finding.rule, AGAIN), f"{finding.rule} opened {times + 1} times"
        assert finding.occurrences == times + 1
    if name in HEALTHY:
        loud = [rule for (rule, _), _ in again.items() if rule != "plateau"]
        assert not [f for f in engine.findings() if f.rule in loud and f.severity is not Severity.INFO]


def test_some_of_them_do_come_back() -> None:
    """Else the counting could be blind."""
    again: Any = reopenings("bad-batches-05")[0]
    assert again["loss-spike", ""] >= 3
