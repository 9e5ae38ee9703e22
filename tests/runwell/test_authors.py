"""Who logs a run: known without a word at each call, and never too sure that a dead thread was the only one."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable

import pytest

from runwell import api
from runwell.authors import Authors
from runwell.run import Run
from runwell.sender import THREAD_NAME
from tests.logged import stored
from tests.runwell.test_devices import Scalar


def in_thread(work: Callable[[], object], name: str = "training") -> threading.Thread:
    thread = threading.Thread(target=work, name=name)
    thread.start()
    thread.join()
    return thread


def test_the_last_of_those_who_log_is_told() -> None:
    authors = Authors()
    first, second, idle = in_thread(authors.see), in_thread(authors.see), in_thread(lambda: None)
    assert not authors.lose(idle) and not authors.lose(first) and authors.lose(second)
    assert not authors.lose(second), "it is gone already"


def test_one_that_ended_well_has_logged_for_good() -> None:
    authors = Authors()
    in_thread(authors.see)
    gc.collect()  # nothing of it is left, but that it was there
    assert not authors.lose(in_thread(authors.see))


def test_the_sender_writes_what_another_one_logged() -> None:
    authors = Authors()
    in_thread(authors.see, THREAD_NAME)
    assert authors.lose(in_thread(authors.see))


@pytest.mark.parametrize("number", [1.0, Scalar(1.0)], ids=["here", "on a device"])
def test_a_run_dies_with_the_thread_that_logs_it(run: Run, number: object) -> None:
    def train() -> None:
        for step in range(3):
            run.log({"loss": number}, step=step)

    thread = in_thread(train)
    api._leaving.thread_fails(thread, MemoryError("out of memory"))
    run._late.settle()
    api._leaving.ends()
    assert stored(run)[-1] | {"time": 0} == {
        "type": "state",
        "time": 0,
        "state": "crashed",
        "reason": "MemoryError: out of memory, in the thread 'training'",
        "step": 2,
    }
