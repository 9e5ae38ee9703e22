"""WebSocket `/live`: hands one page the messages of the hub, of points those that it chose. What they hold stands in docs/architecture.md."""

from __future__ import annotations

import asyncio
import contextlib
import json

from fastapi import APIRouter
from starlette.websockets import WebSocket, WebSocketDisconnect

from dashboard.live import Client, Hub
from dashboard.services import Services

router = APIRouter()

TRY_AGAIN, SENSELESS = 1013, 1008
MAX_CLIENTS = 500
SEND_SECONDS = 10.0
"""A page that takes longer to accept a message is let go; it comes back by itself and fills its gap."""
CHOOSE_SECONDS = 10.0
MAX_CHOICE_CHARACTERS, MAX_CHOSEN = 2**20, 5000
"""How long a page has for its first choice, and how much one may name."""

CHOICE_WANTED = f'a message here is {{"series": [names]}}, at most {MAX_CHOSEN:,} of them'

Choice = frozenset[str]


@router.websocket("/live")
async def live(socket: WebSocket) -> None:
    """Stream messages until the page goes or does not keep up."""
    parts: Services = socket.app.state.services
    hub = parts.hub
    await socket.accept()
    if hub.clients >= MAX_CLIENTS:
        await socket.close(TRY_AGAIN, "too many pages are open")
        return
    query = socket.query_params
    since = query.get("since", "")
    try:
        chosen = None
        if "choose" in query:
            async with asyncio.timeout(CHOOSE_SECONDS):
                chosen = await _choice(socket)
        client = hub.attach(
            query.get("run") or None,
            int(since) if since.isdecimal() and len(since) < 17 else None,
            query.get("epoch"),
            chosen,
        )
    except (WebSocketDisconnect, TimeoutError, ValueError):
        await _close(socket, SENSELESS, CHOICE_WANTED)
        return
    try:
        await _stream(socket, hub, client)
    finally:
        hub.detach(client)


async def _stream(socket: WebSocket, hub: Hub, client: Client) -> None:
    gone = asyncio.create_task(_listen(socket, hub, client))
    try:
        while not gone.done():
            waiting = asyncio.create_task(client.next())
            await asyncio.wait({gone, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                waiting.cancel()
                break
            texts = waiting.result()
            if client.dropped:
                await socket.close(TRY_AGAIN, "this page does not keep up")
                break
            async with asyncio.timeout(SEND_SECONDS):
                for text in texts:
                    await socket.send_text(text)
    except (WebSocketDisconnect, RuntimeError):
        pass  # the page went while something was on its way to it
    except TimeoutError:
        await _close(socket, TRY_AGAIN, "this page does not keep up")
    finally:
        gone.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await gone


async def _listen(socket: WebSocket, hub: Hub, client: Client) -> None:
    """Take the choices of a page that chooses until it goes, or says what makes no sense; of others ignore what they say."""
    try:
        while True:
            chosen = await _choice(socket, heeded=client.chosen is not None)
            if chosen is not None:
                hub.choose(client, chosen)
    except WebSocketDisconnect:
        return
    except ValueError:
        await _close(socket, SENSELESS, CHOICE_WANTED)


async def _choice(socket: WebSocket, *, heeded: bool = True) -> Choice | None:
    """The series of which the page says next that it wants points; None when that is not heeded.

    Raises WebSocketDisconnect, ValueError.
    """
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect
    if not heeded:
        return None
    text = message.get("text") or ""
    try:
        said = json.loads(text) if len(text) <= MAX_CHOICE_CHARACTERS else None
    except RecursionError:
        said = None
    names = said.get("series") if isinstance(said, dict) else None
    if not isinstance(names, list) or len(names) > MAX_CHOSEN or not all(isinstance(name, str) for name in names):
        raise ValueError(CHOICE_WANTED)
    return frozenset(names)


async def _close(socket: WebSocket, code: int, reason: str) -> None:
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):
        await socket.close(code, reason)
