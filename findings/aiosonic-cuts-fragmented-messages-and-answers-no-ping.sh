#!/usr/bin/env bash
# aiosonic's websocket client (Python) reads the opcode of a frame and not its FIN bit. A message in two frames arrives
# as its first frame, as if that were all, and the rest is dropped without an error: JSON breaks, text is cut. It
# answers no ping, which RFC 6455 (5.5.2) demands, so a server that looks for dead connections closes it after its ping
# timeout, and the code and the reason with which a server closes do not reach the application. A server that wants to
# be understood by it sends each message in one frame, and takes any frame of the client as a sign of life.
# Seen with aiosonic 1.3.3 and, as the server, websockets 17.4.
# Needs python3. Exits with 1 if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check aiosonic==1.3.3 websockets==17.4
cat >talk.py <<'PY'
import asyncio

import aiosonic
import websockets


async def serve(socket):
    pong = await socket.ping()
    await socket.send(["in two ", "frames"])
    answer = await socket.recv()
    # Frames arrive in order, so a pong would be here before the answer to what was sent after the ping.
    print(f"server: got {answer!r}, ping was answered: {pong.done()}")
    await socket.close(1013, "try again later")


async def with_aiosonic(url):
    async with aiosonic.WebSocketClient() as client, await client.connect(url) as socket:
        print(f"aiosonic: {await socket.receive_text()!r}")
        await socket.send_text("hello")
        try:
            await socket.receive_text()
        except aiosonic.exceptions.ConnectionDisconnected as error:
            print(f"aiosonic: {error}, code {socket.close_code}")


async def with_websockets(url):
    async with websockets.connect(url) as socket:
        print(f"websockets: {await socket.recv()!r}")
        await socket.send("hello")
        await socket.wait_closed()
        print(f"websockets: {socket.close_reason}, code {int(socket.close_code)}")


async def main():
    async with websockets.serve(serve, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        for talk in (with_aiosonic, with_websockets):
            await talk(url)


asyncio.run(asyncio.wait_for(main(), 60))
PY
seen=$(python/bin/python talk.py)
echo "$seen"
diff <(echo "$seen") - <<'EXPECTED'
aiosonic: 'in two '
server: got 'hello', ping was answered: False
aiosonic: Connection is closed, code None
websockets: 'in two frames'
server: got 'hello', ping was answered: True
websockets: try again later, code 1013
EXPECTED
