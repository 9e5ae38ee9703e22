"""The trainer's own errors, all of them. Each carries one sentence that a user can act on. Standard library only."""

from __future__ import annotations


class TrainerError(Exception):
    """Base of what the trainer refuses or cannot do; the message is one clear sentence."""


class DataError(TrainerError):
    """The data set is missing, empty, unreadable or too small for the settings."""


class TokenizerError(TrainerError):
    """The tokenizer cannot represent the text: decode(encode(text)) is not the text."""


class CheckpointError(TrainerError):
    """A checkpoint is missing, broken or does not fit the settings; the message names those that can be used."""


class DeviceError(TrainerError):
    """The device or precision asked for is not there, or its memory is too small for the settings."""


class CommandError(TrainerError):
    """A live command has an unknown kind or an argument out of bounds; the run goes on."""
