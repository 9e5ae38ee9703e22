"""The background thread that carries a run's spool to the server, and after it the spools that others left behind.

It sleeps until a record is written, gathers for a moment, and sends what is new, at most twenty times a second; it beats while
idle, and backs off with jitter while the server is away. It also makes the next segment ahead of need, so that the
training thread never waits for the file system. `turn` is one round of it without any waiting: tests call it with a clock of
their own.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from runwell.bell import Bell
from runwell.courier import Courier, Outcome
from runwell.folder import bytes_under
from runwell.notice import Warn
from runwell.outbox import LeftSpool, open_left, writer_folders
from runwell.spool import Spool

INTERVAL_SECONDS = 0.05
"""Between two posts of a run that logs faster than that: each costs the training process a millisecond of its interpreter."""
GATHER_SECONDS = 0.01
"""After the first record: what belongs to the same step is logged within it, and goes together."""
HEARTBEAT_SECONDS = 2.0
LOOK_SECONDS = 30.0
"""Between looks at the rest of the spool folder: who left something behind, how full it is."""
FIRST_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS = 0.25, 5.0
MAX_POSTS_A_TURN = 64
THREAD_NAME = "runwell-sender"

NewCourier = Callable[[LeftSpool], Courier]


class Sender:
    """Owns the thread. `new_courier` makes couriers for left spools; `before` is called at the beginning of every round, and
    `held` says whether it would find something to do."""

    def __init__(
        self,
        spool: Spool,
        courier: Courier,
        warn: Warn,
        *,
        url: str,
        new_courier: NewCourier | None = None,
        before: Callable[[], None] = lambda: None,
        held: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spool, self._courier, self._warn, self._url = spool, courier, warn, url
        self._new_courier, self._before, self._held, self._clock = new_courier, before, held, clock
        self._bell = Bell()
        self._done, self._stop = threading.Event(), threading.Event()
        self._finishing = self._ending = False
        self._attempt_at = self._beat_at = self._look_at = 0.0
        self._sent_at = -INTERVAL_SECONDS
        self._failures = 0
        self._own = Outcome.SENT
        self._left: list[LeftSpool] = []
        self._left_courier: Courier | None = None
        self._thread = threading.Thread(target=self._loop, name=THREAD_NAME, daemon=True)
        spool.ring = self._bell.ring

    def start(self) -> None:
        """Begin sending."""
        self._thread.start()

    def flush(self, timeout_seconds: float) -> int:
        """Send what waits; returns how many records still wait after at most `timeout_seconds`."""
        deadline = self._clock() + timeout_seconds
        while self._courier.waiting and self._clock() < deadline and self._thread.is_alive():
            self._bell.ring()
            time.sleep(0.005)
        return self._courier.waiting

    def finish(self, timeout_seconds: float) -> int:
        """Send what waits and end the thread; returns how many records the server has not got.

        A server that never answered is tried once; one that did is waited for until the timeout.
        """
        if self._thread.is_alive():
            self._finishing = True
            self._bell.ring()
            self._done.wait(timeout_seconds)
            self._stop.set()
            self._bell.ring()
            self._thread.join(timeout=0.5)
        return self._courier.waiting

    def forget(self) -> None:
        """In a forked child: let go of the locks of what others left, or nobody could send that while the child lives."""
        for left in self._left:
            left.forget()

    # -- the thread ------------------------------------------------------------------------------------------------

    def _loop(self) -> None:
        while not self._stop.is_set():
            try:
                wait = self.turn()
            except Exception as error:
                if self._stop.is_set():
                    break  # the spool was closed under it, because the time to finish was over
                # whatever it is, training must not feel it and records must not be lost: they are in the spool
                self._warn(
                    "sender", f"sending failed unexpectedly ({error!r}); records wait in the spool, trying again"
                )
                wait, self._own = self._back_off(), Outcome.AWAY
            if self._ending and self._settled():
                break
            self._sleep(wait)
        self._spool.listening = False
        self._let_go()
        self._courier.close()
        self._done.set()

    def _sleep(self, seconds: float) -> None:
        """Until something may be due; when all was sent, until the next record, and what follows it at once."""
        if self._own is not Outcome.IDLE or self._finishing:
            self._bell.wait(seconds)
            return
        self._spool.listening = True
        # what was written before this moment rings no bell
        rung = self._courier.waiting > 0 or self._held() or self._bell.wait(seconds)
        self._spool.listening = False
        if rung and not self._finishing:
            # what comes now rings no bell; one who flushes, finishes or has filled a segment does
            self._bell.wait(max(GATHER_SECONDS, self._sent_at + INTERVAL_SECONDS - self._clock()))

    def turn(self) -> float:
        """Do what is due now; returns the seconds until something may be due again."""
        self._before()
        now = self._clock()
        if self._finishing and not self._ending:
            # one more look and one more try, whatever the back-off says
            self._ending, self._own = True, Outcome.SENT
            self._attempt_at = self._look_at = 0.0
        self._spool.prepare()
        if now >= self._look_at:
            self._look_around(now)
        if now < self._attempt_at:
            return min(INTERVAL_SECONDS, self._attempt_at - now)
        outcome = self._own = self._send_own(now)
        if outcome is Outcome.IDLE and self._courier.reached:
            outcome = self._send_left()
        if outcome is Outcome.AWAY:
            return self._back_off()
        self._failures = 0
        if outcome is Outcome.SENT or (self._ending and self._courier.waiting):
            return 0.0
        return max(0.0, min(self._beat_at, self._look_at) - self._clock())

    def _send_own(self, now: float) -> Outcome:
        # What is written meanwhile goes with the next turn: a post for every few records would cost their writer dearly.
        outcome, last = Outcome.IDLE, self._spool.next_seq - 1
        for _ in range(MAX_POSTS_A_TURN):
            if self._stop.is_set():
                return Outcome.AWAY
            outcome = self._courier.send()
            self._spool.prepare()
            if outcome is not Outcome.SENT:
                break
            self._beat_at, self._sent_at = now + HEARTBEAT_SECONDS, now
            if self._courier.ack.acked >= last and not self._ending:
                outcome = Outcome.IDLE
                break
        if outcome is Outcome.IDLE and self._spool.dropped:
            # there is room again: say how much was lost before anything newer follows
            self._spool.report_drops()
        if now < self._beat_at or self._finishing:
            return outcome
        if outcome is Outcome.IDLE:
            self._beat_at = now + HEARTBEAT_SECONDS
            outcome = self._courier.beat()
        elif self._courier.overloaded and self._courier.reached:
            # else a run whose records wait for minutes would be taken for a lost one, and hear of no command
            self._beat_at = now + HEARTBEAT_SECONDS
            self._courier.beat_meanwhile()
        return outcome

    def _back_off(self) -> float:
        self._failures += 1
        limit = 0.5 if self._ending else MAX_BACKOFF_SECONDS
        full = min(limit, FIRST_BACKOFF_SECONDS * 2.0 ** min(self._failures - 1, 10))
        # jitter, so that a hundred runs do not all come back in the same instant
        delay = full * (0.5 + os.urandom(1)[0] / 510)
        asked = self._courier.rest_seconds if not self._ending else min(limit, self._courier.rest_seconds)
        if asked > delay:
            delay = asked * (1.0 + os.urandom(1)[0] / 510)
        self._attempt_at = self._clock() + delay
        return min(INTERVAL_SECONDS, delay)

    def _settled(self) -> bool:
        if self._own is Outcome.AWAY:
            return not self._courier.reached
        return self._own is Outcome.IDLE and not self._courier.waiting and not self._left

    # -- what others left behind -----------------------------------------------------------------------------------

    def _look_around(self, now: float) -> None:
        self._look_at = now + LOOK_SECONDS
        root = self._spool.folder.parent.parent
        self._spool.room.others_bytes = bytes_under(root, but=self._spool.folder)
        if self._new_courier is None or (self._left and not self._ending):
            return
        self._let_go()
        # at the end, only what this run's own forked children left is waited for
        for folder in writer_folders(root, self._spool.run_id if self._ending else None):
            left = open_left(folder, self._warn, url=self._url)
            if left is not None:
                self._left.append(left)

    def _send_left(self) -> Outcome:
        if not self._left or self._new_courier is None:
            return Outcome.IDLE
        if self._left_courier is None:
            self._left_courier = self._new_courier(self._left[0])
        outcome = self._left_courier.send()
        if outcome is not Outcome.SENT:
            # sent, or not to be sent now: either way the next one gets its turn
            self._left.pop(0).close(self._left_courier.ack.acked)
            self._left_courier = None
        return Outcome.SENT if self._left else Outcome.IDLE

    def _let_go(self) -> None:
        for index, left in enumerate(self._left):
            acked = self._left_courier.ack.acked if self._left_courier is not None and index == 0 else 0
            left.close(acked)
        self._left, self._left_courier = [], None
