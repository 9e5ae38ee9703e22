"""Commands are checked before they act; signals leave word."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from trainer.control import LiveSettings, SampleRequest, StopSignal, parse_sample
from trainer.errors import CommandError


@pytest.fixture
def heard() -> Iterator[StopSignal]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    stop = StopSignal()
    stop.install()
    yield stop
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_word(heard: StopSignal, number: signal.Signals) -> None:
    assert heard.name == ""
    os.kill(os.getpid(), number)
    assert heard.name == number.name


def test_a_second_interrupt_interrupts(heard: StopSignal) -> None:
    os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_set_changes_rate_and_clip_and_keeps_the_rest() -> None:
    live = LiveSettings(grad_clip=1.0).changed({"learning_rate_factor": 0.1})
    assert live == LiveSettings(learning_rate_factor=0.1, grad_clip=1.0)
    assert live.changed({"grad_clip": 0}) == LiveSettings(learning_rate_factor=0.1, grad_clip=0.0)


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ({}, "set takes learning_rate_factor and grad_clip, not nothing"),
        ({"dropout": 0.5}, "set takes learning_rate_factor and grad_clip, not dropout"),
        ({"learning_rate_factor": 0}, "learning_rate_factor = 0 is not allowed; it takes a number from 1e-06 to 1000"),
        ({"learning_rate_factor": float("nan")}, "learning_rate_factor = nan is not allowed"),
        ({"learning_rate_factor": True}, "learning_rate_factor = True is not allowed"),
        ({"learning_rate_factor": "half"}, "learning_rate_factor = 'half' is not allowed"),
        ({"grad_clip": -1}, "grad_clip = -1.0 is not allowed; it takes a number from 0 to 1e"),
        ({"grad_clip": None}, "grad_clip = None is not allowed"),
    ],
)
def test_set_refuses_with_what_is_allowed(args: dict[str, object], sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence):
        LiveSettings().changed(args)


def test_sample_takes_what_the_config_would() -> None:
    assert parse_sample({}) == SampleRequest()
    asked = parse_sample({"prompt": "To be", "temperature": 0, "top_k": 5, "top_p": 0.9, "tokens": 50})
    assert asked == SampleRequest(prompt="To be", temperature=0.0, top_k=5, top_p=0.9, tokens=50)


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ({"tempreature": 1}, "sample takes prompt, temperature, top_k, top_p, tokens, not tempreature"),
        ({"temperature": 99}, "temperature = 99.0 is not allowed; it takes a number from 0 to 10"),
        ({"top_k": 1.5}, "top_k = 1.5 is not allowed; it takes a whole number"),
        ({"tokens": 10**9}, "sample_tokens = 1000000000 is not allowed"),
        ({"prompt": "x" * 2001}, "prompts = .* is not allowed; it takes at most 2,000 characters"),
        ({"prompt": 7}, "prompts = 7 is not allowed"),
    ],
)
def test_sample_refuses_with_what_is_allowed(args: dict[str, object], sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence):
        parse_sample(args)
