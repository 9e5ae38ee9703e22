"""The live stream: what is published once reaches every page that watches. Threads in, event loops out; no store, no HTTP.

Each message gets a number. The newest ones lie in a bounded ring, from which a page that was away fills its gap. Each
client has a bounded queue; one that does not keep up is let go and comes back by itself. Points are collected and sent at
most twenty times a second a run.
"""

from __future__ import annotations

import asyncio
import math
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Set
from typing import Any

from dashboard.messages import Columns, Message, Points
from runwell.wire import dumps

POINTS_INTERVAL_SECONDS = 0.05
RING_BYTES = 32 * 2**20
CLIENT_BYTES = 8 * 2**20
CLIENT_MESSAGES = 2000
REPLAY_MESSAGES, REPLAY_BYTES = 500, 2 * 2**20
"""A page that missed more than this takes a new snapshot: that is cheaper, and its queue could not hold the rest."""

MAX_GAPS = 10_000
"""Runs of which is remembered since when nothing is known here; past that, nothing is known of all of them."""

MAX_ROWS = 10_000
"""Runs of which is remembered which row was sent last; the one sent longest ago is forgotten first, and sent again."""

WATCHED_ONLY = frozenset({"points", "sample", "log", "rewind", "checkpoint", "delivery", "heard", "series"})
"""Types that only a page of that very run gets."""


class Client:
    """One page's queue, read by its socket on an event loop and filled from any thread. Made by `Hub.attach`."""

    def __init__(self, run_id: str | None, chosen: Set[str] | None = None) -> None:
        self.run_id = run_id
        self.chosen = chosen
        """The series whose points it gets; None: all. The hub's lock guards it."""
        self.dropped = False
        """The page did not keep up: close its socket."""
        self._queue: deque[str] = deque()
        self._bytes = 0
        self._lock = threading.Lock()
        self._ready = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def wants(self, message: Message) -> bool:
        """Whether the message is for this page."""
        if self.run_id is None:
            return message.kind not in WATCHED_ONLY
        if message.kind == "series" and self.chosen is None:
            return False  # it sees them among the points
        return self.run_id in (message.run_id, message.parent_id)

    def offer(self, text: str | None) -> None:
        """Queue a message, if there is one; when the queue is full the client is dropped instead."""
        if text is None:
            return
        with self._lock:
            self._bytes += len(text)
            if len(self._queue) >= CLIENT_MESSAGES or self._bytes > CLIENT_BYTES:
                self.dropped = True
                self._queue.clear()
            else:
                self._queue.append(text)
        self._wake()

    async def next(self) -> list[str]:
        """The waiting messages, as soon as there are any; empty when the client was dropped."""
        await self._ready.wait()
        with self._lock:
            self._ready.clear()
            waiting = list(self._queue)
            self._queue.clear()
            self._bytes = 0
        return waiting

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._ready.set)
        except RuntimeError:
            self.dropped = True  # the loop has ended: the server is going down


class Hub:
    """Publishes to every attached client. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, epoch: str | None = None) -> None:
        """`clock` gives seconds and only decides how points are collected; `epoch` names this server's numbering."""
        self.epoch = epoch or secrets.token_hex(6)
        self._clock = clock
        self._lock = threading.Lock()
        self._seq = 0
        self._ring: deque[Message] = deque()
        self._ring_bytes = 0
        self._oldest = 1  # number of the first message that is still there, or will be
        self._gaps: dict[str, int] = {}  # run → number at which something of it was passed over
        self._named: dict[str, set[str]] = {}  # run of which pages chose series → the names that they were told of
        self._rows: dict[str, int] = {}  # run → hash of the row that was sent last
        self._clients: set[Client] = set()
        self._pending: dict[str, dict[str, list[Columns]]] = {}
        self._sent_at: dict[str, float] = {}

    @property
    def seq(self) -> int:
        """The newest number."""
        return self._seq

    @property
    def clients(self) -> int:
        """Pages that watch just now."""
        return len(self._clients)

    def publish(self, kind: str, run_id: str, payload: Mapping[str, Any], parent_id: str | None = None) -> int:
        """Send `{"seq", "epoch", "type": kind, "run": run_id, **payload}` to all who watch; the message's number.

        Points that wait for this run are sent before it, so that the order is the order of events. The pages of the run
        `parent_id` get it as well.
        """
        with self._lock:
            self._flush_run(run_id)
            return self._send(kind, run_id, payload, parent_id)

    def publish_run(self, summary: Mapping[str, Any]) -> int:
        """Send a run's row (`present.summary`) to lists, to its own page, and to that of the run that it is a relaunch of.

        A row that was sent before, but for when the run was last heard of, is `heard`, to its own page alone: heartbeats
        come every two seconds, and a page that has nothing new to show should have nothing to do.
        """
        run_id = str(summary["id"])
        row = hash(dumps({**summary, "last_event_at": None}))
        with self._lock:
            same = self._rows.pop(run_id, None) == row
            self._rows[run_id] = row
            if len(self._rows) > MAX_ROWS:
                del self._rows[next(iter(self._rows))]
        if same:
            return self.publish("heard", run_id, {"at": summary["last_event_at"]})
        return self.publish("run", run_id, {"summary": summary}, summary["parent"])

    def watched(self, run_id: str) -> bool:
        """Whether a page of that run is open."""
        with self._lock:
            return self._is_watched(run_id)

    def publish_points(self, run_id: str, series: Mapping[str, Columns]) -> None:
        """Send points, at once or together with those that follow within a twentieth of a second."""
        with self._lock:
            pending = self._pending.setdefault(run_id, {})
            for name, columns in series.items():
                pending.setdefault(name, []).append(columns)
            if self._clock() - self._sent_at.get(run_id, -math.inf) >= POINTS_INTERVAL_SECONDS:
                self._flush_run(run_id)

    def flush(self) -> None:
        """Send the points that have waited long enough. Called a few times a second by the collector's thread."""
        with self._lock:
            now = self._clock()
            for run_id in list(self._pending):
                if now - self._sent_at.get(run_id, -math.inf) >= POINTS_INTERVAL_SECONDS:
                    self._flush_run(run_id)
            for run_id in [run_id for run_id, at in self._sent_at.items() if now - at > 60]:
                del self._sent_at[run_id]

    def passes_over(self, run_id: str) -> bool:
        """Whether nobody watches a run, so that what is new of it need not be fetched to be published here.

        When so, a page whose snapshot is older than this moment will be told that it has missed something.
        """
        with self._lock:
            if self._is_watched(run_id):
                return False
            if len(self._gaps) >= MAX_GAPS:
                self._oldest, self._gaps = self._seq + 2, {}
            self._seq += 1
            self._gaps[run_id] = self._seq
            return True

    def resync(self, run_id: str | None = None) -> None:
        """Tell the pages of a run, or all pages, that they have missed something: they take a new snapshot."""
        with self._lock:
            self._seq += 1
            if run_id is None:
                self._oldest, self._gaps = self._seq + 1, {}
            else:
                self._gaps[run_id] = self._seq
            text = dumps({"seq": self._seq, "epoch": self.epoch, "type": "hello", "replayed": False})
            for client in self._clients:
                if run_id is None or client.run_id == run_id:
                    client.offer(text)

    def attach(
        self, run_id: str | None, since: int | None, epoch: str | None, chosen: Set[str] | None = None
    ) -> Client:
        """A new client whose first message is `hello`, followed by what it missed when that is still known.

        Of points it gets those of the series that it has `chosen`; None: all. Must be called on the event loop that will
        read the client.
        """
        client = Client(run_id, chosen)
        with self._lock:
            missed = self._missed(client, since) if since is not None and epoch == self.epoch else None
            hello = {"seq": self._seq, "epoch": self.epoch, "type": "hello", "replayed": missed is not None}
            for text in (dumps(hello), *(missed or ())):
                client.offer(text)
            self._clients.add(client)
        return client

    def choose(self, client: Client, chosen: Set[str]) -> None:
        """Give a client points of these series from now on, in the place of those before, and tell it so with `chosen`.

        Points are published once they are stored: what the store holds after that message misses nothing that is not sent.
        """
        with self._lock:
            client.chosen = chosen
            client.offer(dumps({"type": "chosen", "epoch": self.epoch, "series": len(chosen)}))

    def _missed(self, client: Client, since: int) -> list[str] | None:
        """What came after `since`, oldest first; None when that is not known any more, or too much to send again."""
        if not self._oldest - 1 <= since <= self._seq or since < self._gaps.get(client.run_id or "", 0):
            return None
        missed: list[str] = []
        names: set[str] = set()
        size = 0
        for message in reversed(self._ring):
            if message.seq <= since:
                break
            if client.wants(message):
                size += message.size
                if len(missed) >= REPLAY_MESSAGES or size > REPLAY_BYTES:
                    return None  # before it is made into text, on an event loop
                names |= message.names()
                text = message.text_for(client.chosen)
                if text is not None:
                    missed.append(text)
        if names and client.chosen is not None:  # one may be new, and nobody was there to be told
            missed.append(dumps({"type": "series", "run": client.run_id, "names": sorted(names)}))
        return missed[::-1]

    def detach(self, client: Client) -> None:
        """The page is gone."""
        with self._lock:
            self._clients.discard(client)

    def _is_watched(self, run_id: str) -> bool:
        return any(client.run_id == run_id and not client.dropped for client in self._clients)

    def _flush_run(self, run_id: str) -> None:
        pending = self._pending.pop(run_id, None)
        if pending:
            self._sent_at[run_id] = self._clock()
            self._tell_names(run_id, pending.keys())
            self._seq += 1
            self._hand_out(Points(self._seq, self.epoch, run_id, pending))

    def _tell_names(self, run_id: str, names: Set[str]) -> None:
        """Say which series are new, to pages that get points of a few alone."""
        if not any(client.run_id == run_id and client.chosen is not None for client in self._clients):
            self._named.pop(run_id, None)
            return
        known = self._named.setdefault(run_id, set())
        new = names - known
        if new:
            known |= new
            self._send("series", run_id, {"names": sorted(new)})

    def _send(self, kind: str, run_id: str, payload: Mapping[str, Any], parent_id: str | None = None) -> int:
        """Number it, keep it, hand it to those who want it."""
        self._seq += 1
        text = dumps({**payload, "seq": self._seq, "epoch": self.epoch, "type": kind, "run": run_id})
        self._hand_out(Message(self._seq, kind, run_id, len(text), lambda: text, parent_id))
        return self._seq

    def _hand_out(self, message: Message) -> None:
        self._keep(message)
        for client in list(self._clients):
            if client.dropped:
                self._clients.discard(client)
            elif client.wants(message):
                client.offer(message.text_for(client.chosen))

    def _keep(self, message: Message) -> None:
        self._ring.append(message)
        self._ring_bytes += message.size
        while self._ring_bytes > RING_BYTES and self._ring:
            gone = self._ring.popleft()
            self._ring_bytes -= gone.size
            self._oldest = max(self._oldest, gone.seq + 1)
