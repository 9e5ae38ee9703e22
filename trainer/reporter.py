"""What the trainer needs of a run: the verbs of `runwell.Run` that it uses, and nothing of how they reach the server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Reporter(Protocol):
    """A run that takes reports and brings commands. None of its methods raises into training, and none but `flush` and `finish` waits."""

    @property
    def id(self) -> str:
        """The run's id; checkpoints lie under it."""

    def log(self, values: Mapping[str, Any], step: int | None = None) -> None:
        """Report metrics by name at a step, non-finite values as they are."""

    def update_config(self, settings: Mapping[str, Any]) -> None:
        """Report settings that became known only now."""

    def data(self, facts: Mapping[str, Any], step: int | None = None) -> None:
        """Report what is known of the data that is trained on from this step."""

    def sample(self, prompt: str, text: str, step: int | None = None, **measures: float) -> None:
        """Report a text that the model wrote, and what was measured of it."""

    def checkpoint(self, path: str, step: int, val_loss: float | None = None, best: bool = False) -> None:
        """Report a checkpoint that is on disk."""

    def alert(self, title: str, text: str = "", level: str = "warning", step: int | None = None) -> None:
        """Tell the owner of something that does not end the run."""

    def commands(self) -> Sequence[Mapping[str, Any]]:
        """Commands that came since the last call: `id`, `kind`, `args`."""

    def acknowledge(self, command_id: int, ok: bool, text: str, step: int | None = None) -> None:
        """Say what became of a command."""

    def flush(self, timeout: float) -> int:
        """Wait for at most so many seconds until the server has all that was reported: its answers bring commands. Returns how
        many reports it has not got."""

    def rewind(self, step: int) -> None:
        """The run goes on from this step: later points of before are superseded."""

    def finish(self, state: str = "finished", reason: str = "") -> None:
        """End the run in a state, for a reason in one sentence."""
