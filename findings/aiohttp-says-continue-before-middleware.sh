#!/usr/bin/env bash
# aiohttp's server answers "Expect: 100-continue" before the first middleware runs. A middleware that refuses requests
# without credentials, or that are too large, so comes too late to keep the body from being sent: the client has been told
# to send it. What is to be refused unread must be refused in a route's expect_handler, or below the application.
# Seen with aiohttp 3.14.5.
# Needs python3. Exits with 1 if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check aiohttp==3.14.5
cat >serve.py <<'PY'
import asyncio

from aiohttp import web


@web.middleware
async def refuse(request, handler):
    return web.Response(status=401)


async def upload(request):
    return web.Response(text="never reached")


async def main():
    application = web.Application(middlewares=[refuse])
    application.router.add_post("/upload", upload)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"POST /upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\n"
        b"Expect: 100-continue\r\nConnection: close\r\n\r\n"
    )
    while line := await reader.readline():
        if line.startswith(b"HTTP/"):
            print(line.decode().strip())
            if b" 100 " in line:
                writer.write(b"hello")
    writer.close()
    await runner.cleanup()


asyncio.run(main())
PY
seen=$(timeout 60 python/bin/python serve.py)
echo "$seen"
diff <(echo "$seen") - <<'EXPECTED'
HTTP/1.1 100 Continue
HTTP/1.1 401 Unauthorized
EXPECTED
