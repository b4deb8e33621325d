"""The same chat server on python-socketio (rooms, acknowledgements, aiohttp) and aiosqlite, with uvloop."""

# It runs in an environment of its own (requirements.txt beside it), which the type checker does not know.
# mypy: ignore-errors

from __future__ import annotations

import asyncio
import signal
import sys
from datetime import UTC, datetime
from typing import Any

import aiosqlite
import socketio
import uvloop
from aiohttp import web

SCHEMA = """
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    CREATE TABLE IF NOT EXISTS activity (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        sender INTEGER NOT NULL,
        receiver INTEGER NOT NULL,
        message TEXT NOT NULL,
        message_id TEXT NOT NULL,
        created_at TEXT NOT NULL,
        UNIQUE (sender, message_id)
    );
    CREATE INDEX IF NOT EXISTS activity_sender ON activity (sender);
    CREATE INDEX IF NOT EXISTS activity_receiver ON activity (receiver);
"""
INSERT = "INSERT INTO activity (sender, receiver, message, message_id, created_at) VALUES (?, ?, ?, ?, ?)"


def build(database: aiosqlite.Connection) -> web.Application:
    """Build the application; events as in the Node version."""
    server = socketio.AsyncServer(async_mode="aiohttp", transports=["websocket"], http_compression=False)
    people: dict[str, int] = {}

    @server.event
    async def connect(sid: str, environ: dict[str, Any], auth: dict[str, Any]) -> None:
        person = auth.get("person")
        if not isinstance(person, int) or person < 1:
            raise socketio.exceptions.ConnectionRefusedError("unauthorized")
        people[sid] = person
        await server.enter_room(sid, f"person:{person}")

    @server.event
    async def disconnect(sid: str, reason: str) -> None:
        people.pop(sid, None)

    @server.event
    async def send(sid: str, data: dict[str, Any]) -> dict[str, Any]:
        person, to = people[sid], data["to"]
        message, message_id = data["message"], data["message_id"]
        if not isinstance(to, int) or not isinstance(message, str) or len(message) > 65_536 or len(message_id) != 36:
            return {"error": "bad_request"}
        created_at = datetime.now(UTC).isoformat()
        async with database.execute(INSERT, (person, to, message, message_id, created_at)) as cursor:
            number = cursor.lastrowid
        await database.commit()
        activity = {
            "id": number,
            "sender": person,
            "receiver": to,
            "message": message,
            "message_id": message_id,
            "created_at": created_at,
        }
        await server.emit("activity", activity, room=[f"person:{person}", f"person:{to}"])
        return {"id": number, "created_at": created_at}

    app = web.Application()
    server.attach(app)
    return app


async def serve(path: str) -> None:
    async with aiosqlite.connect(path) as database:
        await database.executescript(SCHEMA)
        runner = web.AppRunner(build(database), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
        print(f"listening on http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        await stop.wait()
        await runner.cleanup()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
