#!/usr/bin/env bash
# socket.close() in JavaScript, without arguments, sends a Close frame without a code. RFC 6455 says that the close
# code is then 1005, and keeps 1006 for a connection that ended without any Close frame (7.1.5, 7.4.1). aiohttp's
# client reports 1006 and an EofStream error after such a close (it takes the missing code, 0, for no Close frame and
# waits for another), and its server reports 0, which counts as false; "websocket" for Node reports 1006,
# faye-websocket 1000. ws, websockets and wsproto report 1005. Figures of lost connections, and clients that reconnect
# at once after 1006, so count people who left in order. A server that closes should always send a code, and must not
# tell a lost connection by 1006 alone.
# Seen with aiohttp 3.14.5, websocket 1.0.35, faye-websocket 0.11.4, ws 8.23.0, websockets 17.4, wsproto 1.3.2.
# Needs node, npm and python3. Exits with 1 if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --save-exact \
  ws@8.23.0 websocket@1.0.35 faye-websocket@0.11.4 websocket-driver@0.8.0
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check aiohttp==3.14.5 websockets==17.4 wsproto==1.3.2
cat >peers.cjs <<'JS'
const { WebSocket, WebSocketServer } = require("ws");
const Faye = require("faye-websocket");
const Other = require("websocket");
const [kind, url] = process.argv.slice(2);
const reported = (code) => {
  console.log(code);
  process.exit(0);
};
if (kind === "serve") {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" }, () => console.log(server.address().port));
  server.on("connection", (socket) => socket.close());
} else if (kind === "leave") {
  const socket = new WebSocket(url);
  socket.onopen = () => socket.close();
} else if (kind === "websocket") {
  const client = new Other.client();
  client.on("connect", (connection) => connection.on("close", reported));
  client.connect(url);
} else {
  const socket = kind === "ws" ? new WebSocket(url) : new Faye.Client(url);
  socket.onclose = (event) => reported(event.code);
}
JS
cat >see.py <<'PY'
import asyncio

import aiohttp
import websockets
from aiohttp import web
from wsproto import ConnectionType, WSConnection
from wsproto.events import CloseConnection, Request


async def node(*arguments):
    return await asyncio.create_subprocess_exec("node", "peers.cjs", *arguments, stdout=asyncio.subprocess.PIPE)


async def with_node(kind, port):
    output, _ = await (await node(kind, f"ws://127.0.0.1:{port}")).communicate()
    return output.decode().strip()


async def with_aiohttp(port):
    async with aiohttp.ClientSession() as session, session.ws_connect(f"ws://127.0.0.1:{port}") as socket:
        await socket.receive()
        return f"{int(socket.close_code)} {socket.exception()!r}"


async def with_websockets(port):
    async with websockets.connect(f"ws://127.0.0.1:{port}") as socket:
        await socket.wait_closed()
        return int(socket.close_code)


async def with_wsproto(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    client = WSConnection(ConnectionType.CLIENT)
    writer.write(client.send(Request(host="127.0.0.1", target="/")))
    while True:
        client.receive_data(await reader.read(1000))
        for event in client.events():
            if isinstance(event, CloseConnection):
                writer.write(client.send(event.response()))
                writer.close()
                return int(event.code)


async def aiohttp_server():
    seen = asyncio.get_running_loop().create_future()

    async def handle(request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for _ in socket:
            pass
        seen.set_result(socket.close_code)
        return socket

    application = web.Application()
    application.router.add_get("/", handle)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    leaving = await node("leave", f"ws://127.0.0.1:{runner.addresses[0][1]}")
    code = int(await seen)
    await leaving.wait()
    await runner.cleanup()
    return code


async def main():
    closing = await node("serve")
    port = int(await closing.stdout.readline())
    print("aiohttp client:", await with_aiohttp(port))
    print("aiohttp server:", await aiohttp_server())
    print("websocket:", await with_node("websocket", port))
    print("faye-websocket:", await with_node("faye-websocket", port))
    print("ws:", await with_node("ws", port))
    print("websockets:", await with_websockets(port))
    print("wsproto:", await with_wsproto(port))
    closing.kill()
    await closing.wait()


asyncio.run(asyncio.wait_for(main(), 60))
PY
seen=$(python/bin/python see.py)
echo "$seen"
diff <(echo "$seen") - <<'EXPECTED'
aiohttp client: 1006 EofStream()
aiohttp server: 0
websocket: 1006
faye-websocket: 1000
ws: 1005
websockets: 1005
wsproto: 1005
EXPECTED
