#!/usr/bin/env bash
# A server that restarts, is full, or stands behind a proxy that lost it closes with 1012, 1013 or 1014, which IANA's
# registry of close codes lists as Service Restart, Try Again Later and Bad Gateway. faye-websocket (Node) takes none
# of them: the application gets 1002 (protocol error) although that frame is valid, and the server gets 1002 as the
# answer. wsproto takes the first two and answers 1014 with 1002. ws, websockets and aiohttp take all three. A client
# that waits and reconnects after 1012 or 1013 but stops after 1002 so stays away after a planned restart, and the
# server counts protocol errors that nobody made. Codes from 4000 on reach every peer. The answer shows less: RFC 6455
# lets a peer echo the code, and aiohttp answers 1000.
# Seen with faye-websocket 0.11.4 (websocket-driver 0.8.0), wsproto 1.3.2, ws 8.23.0, aiohttp 3.14.5, websockets 17.4.
# Needs node, npm and python3. Exits with 1 if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --save-exact ws@8.23.0 faye-websocket@0.11.4 websocket-driver@0.8.0
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check websockets==17.4 wsproto==1.3.2 aiohttp==3.14.5
cat >receive.cjs <<'JS'
const { WebSocket } = require("ws");
const Faye = require("faye-websocket");
const [kind, url] = process.argv.slice(2);
const socket = kind === "ws" ? new WebSocket(url) : new Faye.Client(url);
socket.onclose = (event) => {
  console.log(event.code);
  process.exit(0);
};
JS
cat >close.py <<'PY'
import asyncio

import aiohttp
import websockets
from wsproto import ConnectionType, WSConnection
from wsproto.events import CloseConnection, Request

codes = (1012, 1013, 1014, 4000)
answers = asyncio.Queue()


async def serve(socket):
    await socket.close(int(socket.request.path[1:]), "see you")
    await socket.wait_closed()
    await answers.put(socket.protocol.close_rcvd.code)


async def with_websockets(port, code):
    async with websockets.connect(f"ws://127.0.0.1:{port}/{code}") as socket:
        await socket.wait_closed()
        return int(socket.close_code)


async def with_aiohttp(port, code):
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(f"ws://127.0.0.1:{port}/{code}") as socket:
            await socket.receive()
            return int(socket.close_code)


async def with_wsproto(port, code):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    client = WSConnection(ConnectionType.CLIENT)
    writer.write(client.send(Request(host="127.0.0.1", target=f"/{code}")))
    while True:
        client.receive_data(await reader.read(1000))
        for event in client.events():
            if isinstance(event, CloseConnection):
                writer.write(client.send(event.response()))
                writer.close()
                return int(event.code)


async def with_node(kind, port, code):
    command = ("node", "receive.cjs", kind, f"ws://127.0.0.1:{port}/{code}")
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    return int((await process.communicate())[0])


async def main():
    async with websockets.serve(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        for name, receive in (
            ("faye-websocket", lambda *to: with_node("faye-websocket", *to)),
            ("wsproto", with_wsproto),
            ("ws", lambda *to: with_node("ws", *to)),
            ("aiohttp", with_aiohttp),
            ("websockets", with_websockets),
        ):
            got, answered = [], []
            for code in codes:
                got.append(await receive(port, code))
                answered.append(int(await answers.get()))
            print(f"{name}: got {got}, answered {answered}")


asyncio.run(asyncio.wait_for(main(), 60))
PY
seen=$(python/bin/python close.py)
echo "$seen"
diff <(echo "$seen") - <<'EXPECTED'
faye-websocket: got [1002, 1002, 1002, 4000], answered [1002, 1002, 1002, 4000]
wsproto: got [1012, 1013, 1002, 4000], answered [1012, 1013, 1002, 4000]
ws: got [1012, 1013, 1014, 4000], answered [1012, 1013, 1014, 4000]
aiohttp: got [1012, 1013, 1014, 4000], answered [1000, 1000, 1000, 1000]
websockets: got [1012, 1013, 1014, 4000], answered [1012, 1013, 1014, 4000]
EXPECTED
