"""`GET /rules`: the illnesses that the engine can recognise, each with its page."""

from __future__ import annotations

from fastapi import APIRouter

from dashboard.api.border import Json
from diagnostics.rules import RULES

router = APIRouter(tags=["rules"])


@router.get("/rules")
def get_rules() -> Json:
    """The rules in the order of their table: id, usual severity, one line, what each needs, and its whole page."""
    return Json(
        {
            "rules": [
                {
                    "id": rule.id, "severity": rule.severity.value, "summary": rule.summary,
                    "needs": [list(names) for names in rule.needs], "helps": list(rule.helps), "page": rule.page,
                }
                for rule in RULES
            ]
        }
    )  # fmt: skip
