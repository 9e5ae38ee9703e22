"""What a sender says of itself survives the header; anything else is no report and costs no batch."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwell.report import Report, decode, encode

COUNT = st.integers(0, 2**53)


NAME = st.sampled_from(["", "w-0123456789ab.9007199254740992", "a.b_c-D" * 9])


@given(COUNT, COUNT, st.integers(0, 1000), st.floats(0, 4e9), st.sampled_from([None, False, True]), NAME)
def test_a_report_survives_its_header(
    written: int, dropped: int, percent: int, now: float, alive: bool | None, name: str
) -> None:
    found = decode(encode(Report(written, dropped, percent, now, alive, name)))
    assert found is not None and (*found[:3], *found[4:]) == (written, dropped, percent, alive, name)
    assert found.now == pytest.approx(now, abs=0.001)


@pytest.mark.parametrize(
    "text",
    ["", "hello", "written=", "written=-1", "written=1e3", "written=nan", "dropped=1", "written=1, now=nan", "written=1, spool=x",
     "written=" + "9" * 150, "written=1, now=inf", "=" * 500],
)  # fmt: skip
def test_nonsense_is_no_report(text: str) -> None:
    assert decode(text) is None


def test_a_name_that_no_writer_has_is_left_out() -> None:
    assert decode("written=1, writer=../x") == Report(1)


@given(st.text(max_size=300))
def test_any_text_is_a_report_or_none(text: str) -> None:
    assert decode(text) is None or isinstance(decode(text), Report)
