"""WebSocket `/live`: hands one page the messages of the hub. What they hold stands in docs/architecture.md."""

from __future__ import annotations

import asyncio
import contextlib

from fastapi import APIRouter
from starlette.websockets import WebSocket, WebSocketDisconnect

from dashboard.live import Client, Hub
from dashboard.services import Services

router = APIRouter()

TRY_AGAIN = 1013
MAX_CLIENTS = 500
SEND_SECONDS = 10.0
"""A page that takes longer to accept a message is let go; it comes back by itself and fills its gap."""


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
    client = hub.attach(
        query.get("run") or None, int(since) if since.isdecimal() and len(since) < 17 else None, query.get("epoch")
    )
    try:
        await _stream(socket, hub, client)
    finally:
        hub.detach(client)


async def _stream(socket: WebSocket, hub: Hub, client: Client) -> None:
    gone = asyncio.create_task(_until_gone(socket))
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
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            await socket.close(TRY_AGAIN, "this page does not keep up")
    finally:
        gone.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await gone


async def _until_gone(socket: WebSocket) -> None:
    """Read and ignore what the page says until it goes; nothing is asked of it."""
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
