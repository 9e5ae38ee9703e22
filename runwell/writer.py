"""What one process writes a run with: its spool, and those who carry that to the server. It knows no script and no step."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

from runwell.courier import Commands, Courier
from runwell.home import Environment
from runwell.notice import LOGGER, Warn
from runwell.outbox import LeftSpool
from runwell.sender import Sender
from runwell.spool import Spool
from runwell.transport import HttpTransport
from runwell.wire import Event


class Writer:
    """One writer of a run, from its first record on: `introduction`, which is also what tells a server of the run later.

    `hear` gets the commands that come with the server's answers; `before` and `held` are the sender's.
    """

    def __init__(
        self,
        run_id: str,
        environment: Environment,
        introduction: Event,
        warn: Warn,
        *,
        hear: Commands,
        before: Callable[[], None],
        held: Callable[[], bool],
    ) -> None:
        self._url = environment.url
        meta = {"url": self._url, "pid": os.getpid(), "host": socket.gethostname(), "run_event": introduction}
        self.spool = Spool(
            environment.spool,
            run_id,
            f"w-{os.urandom(6).hex()}",
            limit_bytes=environment.spool_bytes,
            warn=warn,
            meta=meta,
        )
        self.spool.event(introduction)
        transport = HttpTransport(self._url, environment.token)
        self.courier = Courier(self.spool, transport, warn, hear)

        def carry_left(left: LeftSpool) -> Courier:
            return Courier(left, transport, warn)

        self.sender = Sender(
            self.spool, self.courier, warn, url=self._url, new_courier=carry_left, before=before, held=held
        )
        self.sender.start()

    def leave(self, timeout_seconds: float) -> None:
        """Send what waits for at most so long, say what the server has not taken by then, and let go of the spool."""
        waiting = self.sender.finish(timeout_seconds)
        if waiting:
            lost = self.spool.in_memory_after(self.courier.ack.acked)
            kept = f"wait in {self.spool.folder}; they are sent by the next run or by `runwell sync`"
            said = [f"{waiting - lost:,} records {kept}"] if waiting > lost else []
            said += [f"{lost:,} records were in memory only and are lost"] if lost else []
            LOGGER.warning(
                "runwell: the server at %s has not taken everything%s: %s",
                self._url or "RUNWELL_URL",
                f" ({self.courier.trouble})" if self.courier.trouble else "",
                "; ".join(said),
            )
        self.spool.close(self.courier.ack.acked)

    def forget(self) -> None:
        """In a forked child: let go of the parent's files and locks without touching them."""
        self.spool.forget()
        self.sender.forget()
