"""Waiting threads sleep unless the user said otherwise."""

from __future__ import annotations

import pytest

from trainer.threads import wait_politely


def test_threads_sleep_while_they_wait() -> None:
    environ: dict[str, str] = {}
    wait_politely(environ)
    assert environ == {"OMP_WAIT_POLICY": "PASSIVE"}


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"])
def test_what_the_user_said_is_kept(name: str) -> None:
    environ = {name: "ACTIVE"}
    wait_politely(environ)
    assert environ == {name: "ACTIVE"}
