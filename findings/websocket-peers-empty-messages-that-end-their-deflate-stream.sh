#!/usr/bin/env bash
# RFC 7692 (permessage-deflate) lets a sender end a message with a DEFLATE block that has BFINAL set (7.2.3.4). A
# sender whose compressor can't flush, as CompressionStream("deflate-raw") of JavaScript, can do nothing else. Some
# peers give the first such message and then empty text for each later one, without an error, as their inflater is at
# its end and is not started anew: websockets (Python), permessage-deflate with faye-websocket, and undici, which does
# so even if the server said that it keeps no context between messages. wsproto fails the connection at the second
# message; aiohttp and ws give all of them. A server that compresses must flush (Z_SYNC_FLUSH) and never finish; one
# that takes compressed messages needs a test with final blocks.
# Seen with websockets 17.4, wsproto 1.3.2, aiohttp 3.14.5, ws 8.23.0, undici 7.30.2, faye-websocket 0.11.4 with
# permessage-deflate 0.1.7.
# Needs node, npm and python3. Exits with 1 if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --save-exact \
  ws@8.23.0 undici@7.30.2 faye-websocket@0.11.4 permessage-deflate@0.1.7
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check websockets==17.4 wsproto==1.3.2 aiohttp==3.14.5
cat >receive.cjs <<'JS'
const { WebSocket } = require("ws");
const undici = require("undici");
const Faye = require("faye-websocket");
const deflate = require("permessage-deflate");
const [kind, url] = process.argv.slice(2);
const made = {
  ws: () => new WebSocket(url),
  undici: () => new undici.WebSocket(url),
  "faye-websocket": () => new Faye.Client(url, [], { extensions: [deflate] }),
};
const socket = made[kind]();
const texts = [];
socket.onmessage = (event) => texts.push(event.data);
socket.onclose = (event) => {
  console.log(JSON.stringify(texts), event.code);
  process.exit(0);
};
JS
cat >send.py <<'PY'
import asyncio
import base64
import hashlib
import json
import re
import zlib

import aiohttp
import websockets
from wsproto import ConnectionType, WSConnection
from wsproto.events import CloseConnection, Request, TextMessage
from wsproto.extensions import PerMessageDeflate


def frame(first_byte, data):
    return bytes([first_byte, len(data)]) + data


def compressed(text):
    """Return `text` as RFC 7692 shows it in 7.2.3.4: a final block, then the header of the empty one."""
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(text.encode()) + compressor.flush(zlib.Z_FINISH) + b"\0"


async def serve(reader, writer):
    asked = (await reader.readuntil(b"\r\n\r\n")).decode()
    key = re.search(r"(?i)sec-websocket-key: *(\S+)", asked)[1] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    extension = "permessage-deflate" + ("; server_no_context_takeover" if "/anew " in asked else "")
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        + base64.b64encode(hashlib.sha1(key.encode()).digest())
        + f"\r\nSec-WebSocket-Extensions: {extension}\r\n\r\n".encode()
    )
    for text in ("one", "two", "three"):
        writer.write(frame(0xC1, compressed(text)))
    writer.write(frame(0x88, (1000).to_bytes(2, "big")))
    await reader.read(1000)
    writer.close()


async def with_websockets(url):
    texts = []
    async with websockets.connect(url) as socket:
        async for text in socket:
            texts.append(text)
    return texts, socket.close_code


async def with_aiohttp(url):
    async with aiohttp.ClientSession() as session, session.ws_connect(url, compress=15) as socket:
        return [message.data async for message in socket], socket.close_code


async def with_wsproto(url):
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.split(":")[2].split("/")[0]))
    client, texts = WSConnection(ConnectionType.CLIENT), []
    writer.write(client.send(Request(host="127.0.0.1", target="/", extensions=[PerMessageDeflate()])))
    while True:
        client.receive_data(await reader.read(1000))
        for event in client.events():
            if isinstance(event, TextMessage):
                texts.append(event.data)
            elif isinstance(event, CloseConnection):
                writer.write(client.send(event.response()))
                writer.close()
                return texts, int(event.code)


async def with_node(kind, url):
    process = await asyncio.create_subprocess_exec("node", "receive.cjs", kind, url, stdout=asyncio.subprocess.PIPE)
    return (await process.communicate())[0].decode().strip()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    for name, receive in (("websockets", with_websockets), ("wsproto", with_wsproto), ("aiohttp", with_aiohttp)):
        texts, code = await receive(url)
        print(f"{name}: {json.dumps(texts, separators=(',', ':'))} {code}")
    for kind in ("faye-websocket", "undici", "ws"):
        print(f"{kind}: {await with_node(kind, url)}")
    print(f"undici, no context kept: {await with_node('undici', url + 'anew')}")


asyncio.run(asyncio.wait_for(main(), 60))
PY
seen=$(python/bin/python send.py)
echo "$seen"
diff <(echo "$seen") - <<'EXPECTED'
websockets: ["one","",""] 1000
wsproto: ["one"] 1007
aiohttp: ["one","two","three"] 1000
faye-websocket: ["one","",""] 1000
undici: ["one","",""] 1000
ws: ["one","two","three"] 1000
undici, no context kept: ["one","",""] 1000
EXPECTED
