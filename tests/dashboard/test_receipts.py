"""Receipts: what arrived, what is missing, what is behind. Zero when all is well, and never zero when it is not."""

from __future__ import annotations

from typing import Any

from dashboard.deliveries import Delivery
from dashboard.receipts import MAX_REPORTS, Reports, receipts
from dashboard.records import WriterRecord
from dashboard.writers import LIFE_WRITER, OUTPUT_WRITER
from runwell.report import Report
from runwell.wire import Batch

WRITER = "w-0123456789ab"


def writer(name: str = WRITER, through: int = 10, **more: Any) -> WriterRecord:
    values: dict[str, Any] = {"duplicates": 0, "refused": 0, "last_contact_at": 1.0} | more
    return WriterRecord(name=name, stored_through=through, **values)


def test_when_all_is_well_all_is_zero() -> None:
    reports = Reports()
    batch = Batch(WRITER, 1, ({"type": "metrics", "step": 1, "time": 99.0},) * 10)
    reports.note("r", Delivery.of(batch, 0.0), Report(10, 0, 0, 100.0), 10)
    (one,) = receipts([writer()], reports.of("r", [WRITER]))
    assert (one.missing, one.behind, one.lag_seconds, one.duplicates, one.refused, one.dropped) == (0, 0, 0.0, 0, 0, 0)


def test_what_the_sender_still_holds_is_behind_by_its_own_clock() -> None:
    reports = Reports()
    batch = Batch(WRITER, 1, ({"type": "metrics", "step": 1, "time": 5000.0}, {"type": "log"}))
    reports.note("r", Delivery.of(batch, 0.0), Report(110, 7, 83, 5030.0), 2)
    (one,) = receipts([writer(through=2)], reports.of("r", [WRITER]))
    assert (one.behind, one.lag_seconds, one.dropped, one.spool_percent) == (108, 30.0, 7, 83)
    (later,) = receipts([writer(through=110)], reports.of("r", [WRITER]))
    assert (later.behind, later.lag_seconds) == (0, 0.0)


def test_what_is_turned_away_unread_is_behind_too_and_ages() -> None:
    def told(now: float, written: int) -> tuple[int, float]:
        reports.note_unread("r", Report(written, 0, 0, now, writer=WRITER))
        (one,) = receipts([writer(through=1)], reports.of("r", [WRITER]))
        return one.behind, one.lag_seconds

    reports = Reports()
    assert told(95.0, 5) == (0, 0.0), "of a writer that was never heard nothing is known"
    reports.note("r", Delivery.of(Batch(WRITER, 1, ({"type": "run"},)), 0.0), Report(1, 0, 0, 100.0), 1)
    assert told(130.0, 1) == (0, 0.0), "a heartbeat: nothing waits"
    assert told(131.5, 5) == (4, 1.5) and told(140.0, 9) == (8, 10.0)
    reports.note_unread("r", Report(50, 0, 0, 150.0))
    assert told(141.0, 9) == (8, 11.0), "an older sender does not say which writer it is"


def test_a_heartbeat_beside_what_waits_does_not_make_it_younger() -> None:
    reports = Reports()
    beat = Delivery.of(Batch(WRITER, 2, ()), 0.0)
    reports.note("r", Delivery.of(Batch(WRITER, 1, ({"type": "run"},)), 0.0), Report(1, 0, 0, 100.0, writer=WRITER), 1)
    reports.note_unread("r", Report(5, 0, 0, 103.0, writer=WRITER))
    reports.note("r", beat, Report(6, 0, 0, 104.0, writer=WRITER), 1)
    (one,) = receipts([writer(through=1)], reports.of("r", [WRITER]))
    assert (one.behind, one.lag_seconds) == (5, 4.0)


def test_without_a_report_the_store_alone_speaks() -> None:
    (one,) = receipts([writer(duplicates=3, refused=2)], {})
    assert (one.stored, one.behind, one.duplicates, one.refused) == (10, 0, 3, 2)


def test_the_server_itself_is_no_writer_of_the_run() -> None:
    assert receipts([writer(LIFE_WRITER), writer(OUTPUT_WRITER)], {}) == []


def test_a_writer_that_began_anew_tells_what_lies_between() -> None:
    def missing(*writers: WriterRecord) -> list[int]:
        return [one.missing for one in receipts(writers, {})]

    assert missing(writer(through=16), writer(WRITER + ".17", 5)) == [0, 0], "it went on where the first ended"
    assert missing(writer(through=10), writer(WRITER + ".17", 5)) == [0, 6]
    assert missing(writer(WRITER + ".17", 5)) == [16], "of the first nothing is here"
    # under its new name, 5 records are 4 of its own and the one that introduces the run: 17 to 20
    assert missing(writer(through=16), writer(WRITER + ".30", 2), writer(WRITER + ".17", 5)) == [0, 9, 0]
    assert missing(writer("rank.7", 5)) == [0], "a name that somebody chose says nothing"


def test_memory_is_bounded() -> None:
    reports = Reports()
    for number in range(MAX_REPORTS + 10):
        reports.note(f"r{number}", Delivery.of(Batch("w", 1, ()), 0.0), Report(1), 1)
    assert len(reports._seen) == MAX_REPORTS
    assert reports.of("r0", ["w"]) == {} and reports.of(f"r{MAX_REPORTS + 9}", ["w"])
