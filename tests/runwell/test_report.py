"""What a sender says of itself survives the header; anything else is no report and costs no batch."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwell.report import Report, decode, encode

COUNT = st.integers(0, 2**53)


@given(COUNT, COUNT, st.integers(0, 1000), st.floats(0, 4e9), st.sampled_from([None, False, True]))
def test_a_report_survives_its_header(written: int, dropped: int, percent: int, now: float, alive: bool | None) -> None:
    found = decode(encode(Report(written, dropped, percent, now, alive)))
    assert found is not None and (*found[:3], found.alive) == (written, dropped, percent, alive)
    assert found.now == pytest.approx(now, abs=0.001)


@pytest.mark.parametrize(
    "text",
    ["", "hello", "written=", "written=-1", "written=1e3", "written=nan", "dropped=1", "written=1, now=nan", "written=1, spool=x",
     "written=" + "9" * 150, "written=1, now=inf", "=" * 500],
)  # fmt: skip
def test_nonsense_is_no_report(text: str) -> None:
    assert decode(text) is None


@given(st.text(max_size=300))
def test_any_text_is_a_report_or_none(text: str) -> None:
    assert decode(text) is None or isinstance(decode(text), Report)
