"""The controls: bare aiohttp handlers that do the least a server could, for the ratios of the table.

Run as a server of its own, pinned like Buzz and on uvloop like Buzz: `python -m bench.controls` prints
`listening on http://HOST:PORT` and serves until it is told to stop.
"""

from __future__ import annotations

import asyncio
import signal

import uvloop
from aiohttp import WSMsgType, web

BACKLOG = 4096
_BINARY_WITH_LENGTH_16 = b"\x82\x7e"  # RFC 6455 section 5.2: a whole binary frame of 126 to 65,535 bytes
_MEMBERS = web.AppKey("members", set[asyncio.Transport])
_TRUSTED = {"trusted": True, "user_id": 12345}


async def echo(request: web.Request) -> web.WebSocketResponse:
    """Echo each frame: the cost of a send without any processing."""
    websocket = web.WebSocketResponse(compress=False)
    await websocket.prepare(request)
    async for message in websocket:
        if message.type is WSMsgType.BINARY:
            await websocket.send_bytes(message.data)
        elif message.type is WSMsgType.TEXT:
            await websocket.send_str(message.data)
    return websocket


async def idle(request: web.Request) -> web.WebSocketResponse:
    """Keep a socket open: for upgrades per second and memory per session."""
    websocket = web.WebSocketResponse(compress=False)
    await websocket.prepare(request)
    async for _ in websocket:
        pass
    return websocket


async def member(request: web.Request) -> web.WebSocketResponse:
    """Add a socket to which `fan_out` writes."""
    websocket = web.WebSocketResponse(compress=False)
    await websocket.prepare(request)
    transport = request.transport
    assert transport is not None
    request.app[_MEMBERS].add(transport)
    try:
        async for _ in websocket:
            pass
    finally:
        request.app[_MEMBERS].discard(transport)
    return websocket


async def fan_out(request: web.Request) -> web.WebSocketResponse:
    """For each frame that arrives, write one ready frame to every member in a bare loop."""
    websocket = web.WebSocketResponse(compress=False)
    await websocket.prepare(request)
    async for message in websocket:
        payload: bytes = message.data
        frame = _BINARY_WITH_LENGTH_16 + len(payload).to_bytes(2, "big") + payload
        for transport in request.app[_MEMBERS]:
            transport.write(frame)
    return websocket


async def bare_json(_: web.Request) -> web.Response:
    """Answer a constant: for look-ups per second."""
    return web.json_response(_TRUSTED)


def build_app() -> web.Application:
    app = web.Application()
    app[_MEMBERS] = set()
    app.add_routes(
        [
            web.get("/echo", echo),
            web.get("/idle", idle),
            web.get("/member", member),
            web.get("/fan-out", fan_out),
            web.get("/json", bare_json),
        ]
    )
    return app


async def serve() -> None:
    """Listen on a free port of the loopback until SIGTERM."""
    runner = web.AppRunner(build_app(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=BACKLOG, shutdown_timeout=0.1)
    await site.start()
    host, port = runner.addresses[0][:2]
    print(f"listening on http://{host}:{port}", flush=True)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await runner.cleanup()


if __name__ == "__main__":
    uvloop.run(serve())
