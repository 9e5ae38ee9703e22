"""The receipt on a run's page: quiet when everything arrived, in words when not."""

from __future__ import annotations

import json
from typing import Any

from dashboard.receipts import WriterReceipt
from dashboard.ui.run_delivery import receipt

WELL: dict[str, Any] = {
    "writer": "w", "stored": 1200, "missing": 0, "behind": 0, "lag_seconds": 0.0, "duplicates": 0, "refused": 0,
    "dropped": 0, "spool_percent": 0, "last_contact_at": 1.0, "ended_at": None,
}  # fmt: skip


def shown(*changes: dict[str, Any], dropped: int = 0) -> str:
    found = receipt([WriterReceipt(**WELL | change) for change in changes], dropped)
    return json.dumps(found.to_plotly_json(), default=lambda one: one.to_plotly_json(), ensure_ascii=False)


def test_a_run_that_nothing_was_sent_for_has_no_receipt() -> None:
    assert receipt([], 0) is None


def test_when_all_is_well_it_says_so_and_has_its_zeros_behind_a_click() -> None:
    text = shown({}, {})
    assert '"Everything arrived"' in text and '"type": "Details"' in text
    assert "2 writers, 2,400 records stored · 0 missing · 0 behind · 0 doubled · 0 refused · lag 0.0 s" in text
    assert "rw-story" not in text
    assert "3 writers (1 ended), 3,600" in shown({"ended_at": 5.0}, {}, {}) and "(2" not in shown(
        *[{"ended_at": 5.0}] * 2
    )


def test_what_is_not_well_is_said_in_words_with_what_follows() -> None:
    assert "7 records were dropped, because the spool was full (RUNWELL_SPOOL_MIB)" in shown({}, dropped=7)
    assert "9 records were dropped" in shown({"dropped": 9}, dropped=7), "the sender knows of more than it could say"
    assert "6 records are missing" in shown({"missing": 6})
    assert "is 83% full; when it is full, new records are dropped" in shown({"spool_percent": 83})
    text = shown({"behind": 5000, "lag_seconds": 75.0})
    assert "5,000 records are on their way, the oldest for 1 min 15 s" in text and "· 5,000 behind ·" in text


def test_a_batch_on_its_way_is_no_trouble() -> None:
    text = shown({"behind": 50, "lag_seconds": 0.4})
    assert "rw-story" not in text and "The newest records are on their way" in text and "Everything" not in text


def test_what_was_refused_is_not_passed_over() -> None:
    assert "Everything arrived, but 2 records refused" in shown({"refused": 2}, {})
