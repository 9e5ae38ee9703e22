"""Keeps findings and coverage: what the engine says is replaced, what a person decided stays. One connection in."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from dashboard.errors import Refused, UnknownFinding
from dashboard.records import FindingRecord
from dashboard.store import texts
from dashboard.store.database import upsert
from dashboard.store.tables import coverage, findings, runs

DECISIONS = ("open", "acknowledged", "muted", "resolved")
_IDENTITY = ("run_key", "rule", "subject")


def save(
    connection: sa.Connection, run_key: int, found: Sequence[Mapping[str, Any]], covered: Mapping[str, Any], now: float
) -> None:
    """Upsert the engine's findings. One that it no longer reports is resolved; one that it reports again is open again."""
    before = {
        (row.rule, row.subject): row
        for row in connection.execute(sa.select(findings).where(findings.c.run_key == run_key))
    }
    seen = {}
    for finding in found:
        row = _row(run_key, finding, before.get((finding["rule"], str(finding.get("subject") or ""))), now)
        seen[row["rule"], row["subject"]] = row
    upsert(connection, findings, _IDENTITY, list(seen.values()), keep=("decision", "opened_at"))
    for (rule, subject), old in before.items():
        if (rule, subject) not in seen and old.resolved_at is None:
            connection.execute(findings.update().where(_is(run_key, rule, subject)).values(resolved_at=now))
    upsert(connection, coverage, ("run_key",), [{"run_key": run_key, "body": texts.pack(dict(covered))}])


def _row(run_key: int, finding: Mapping[str, Any], before: sa.Row[Any] | None, now: float) -> dict[str, Any]:
    resolved = finding.get("status") == "resolved" or finding.get("resolved_step") is not None
    return {
        "run_key": run_key, "rule": finding["rule"], "subject": str(finding.get("subject") or ""), "decision": "open",
        "severity": finding["severity"], "title": finding["title"], "first_step": finding["first_step"],
        "detected_step": finding["detected_step"], "last_step": finding["last_step"], "opened_at": now,
        "resolved_at": ((before.resolved_at if before else None) or now) if resolved else None,
        "body": texts.pack(dict(finding)),
    }  # fmt: skip


def _is(run_key: int, rule: str, subject: str) -> sa.ColumnElement[bool]:
    return sa.and_(findings.c.run_key == run_key, findings.c.rule == rule, findings.c.subject == subject)


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """Which findings are asked for; None: it does not matter."""

    run_key: int | None = None
    statuses: Collection[str] | None = None
    severities: Collection[str] | None = None
    rules: Collection[str] | None = None

    def conditions(self) -> list[sa.ColumnElement[bool]]:
        """The same in SQL."""
        found = [] if self.run_key is None else [findings.c.run_key == self.run_key]
        among = ((_STATUS, self.statuses), (findings.c.severity, self.severities), (findings.c.rule, self.rules))
        return found + [column.in_(list(values)) for column, values in among if values is not None]


_GOES_ON = findings.c.decision.in_(("open", "acknowledged"))
_STATUS = sa.case((sa.and_(_GOES_ON, findings.c.resolved_at.is_not(None)), "resolved"), else_=findings.c.decision)
"""What the store calls a finding's status: one that is over is resolved, whatever was decided, unless it is muted."""


def read(connection: sa.Connection, wanted: Wanted, limit: int | None = None) -> list[FindingRecord]:
    """Findings, newest first."""
    query = sa.select(findings, runs.c.id.label("run_id")).join(runs, runs.c.key == findings.c.run_key)
    query = query.where(*wanted.conditions()).order_by(
        findings.c.opened_at.desc(), findings.c.detected_step.desc(), findings.c.rule, findings.c.subject
    )
    return [_record(row) for row in connection.execute(query if limit is None else query.limit(limit))]


def count(connection: sa.Connection, wanted: Wanted) -> dict[str, int]:
    """How many there are, by rule."""
    query = sa.select(findings.c.rule, sa.func.count()).where(*wanted.conditions()).group_by(findings.c.rule)
    return dict(connection.execute(query).all())


def decide(
    connection: sa.Connection, run: sa.Row[Any], rule: str, subject: str, status: str, now: float
) -> FindingRecord:
    """Store what a person decided about a finding. Raises UnknownFinding, Refused."""
    if status not in DECISIONS:
        raise Refused(f"a finding's status is one of {', '.join(DECISIONS)}, not {status[:60]!r}")
    changed = {"decision": status, "resolved_at": now if status == "resolved" else None}
    if not connection.execute(findings.update().where(_is(run.key, rule, subject)).values(changed)).rowcount:
        raise UnknownFinding(run.id, rule, subject)
    query = sa.select(findings, sa.literal(run.id).label("run_id")).where(_is(run.key, rule, subject))
    return _record(connection.execute(query).one())


def read_coverage(connection: sa.Connection, run_key: int) -> dict[str, Any]:
    """Which rules ran, which could not and why; empty before the first verdict."""
    body = connection.scalar(sa.select(coverage.c.body).where(coverage.c.run_key == run_key))
    found: dict[str, Any] = texts.unpack(body) if body else {"ran": [], "skipped": {}, "failed": {}}
    return found


def _record(row: sa.Row[Any]) -> FindingRecord:
    status = row.decision
    if row.decision in ("open", "acknowledged") and row.resolved_at is not None:
        status = "resolved"
    return FindingRecord(
        run_id=row.run_id, rule=row.rule, subject=row.subject, status=status, severity=row.severity, title=row.title,
        first_step=row.first_step, detected_step=row.detected_step, last_step=row.last_step, opened_at=row.opened_at,
        resolved_at=row.resolved_at, body=texts.unpack(row.body),
    )  # fmt: skip
