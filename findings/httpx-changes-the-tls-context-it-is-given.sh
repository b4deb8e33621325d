#!/usr/bin/env bash
# httpx writes into the ssl.SSLContext that is passed as verify=: a client made with http2=True sets the context's ALPN
# protocols to h2 and http/1.1, and one without HTTP/2 sets them to http/1.1, each time it opens a connection. Whoever
# shares one context between such a client and another library changes what the other library offers: a plain ssl
# connection that never asked for ALPN then negotiates h2, and gets HTTP/2 frames from a server that has them. A client
# of each kind needs a context of its own.
# Seen with httpx 0.28.1, httpcore 1.0.9, h2 4.3.0.
# Needs python3. Uses a certificate of its own on 127.0.0.1. Exits with 1 if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check httpx==0.28.1 httpcore==1.0.9 h2==4.3.0 trustme==1.2.1
cat >see.py <<'PY'
import socket
import ssl
import threading

import httpx
import trustme

authority = trustme.CA()
offered = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
authority.issue_cert("127.0.0.1").configure_cert(offered)
offered.set_alpn_protocols(["h2", "http/1.1"])
listening = socket.create_server(("127.0.0.1", 0))
port = listening.getsockname()[1]


def serve():
    # Shakes hands, then hangs up: what was negotiated is all that matters here.
    while True:
        accepted, _ = listening.accept()
        try:
            offered.wrap_socket(accepted, server_side=True).close()
        except OSError:
            accepted.close()


threading.Thread(target=serve, daemon=True).start()


def negotiated(context):
    """Return the protocol of a connection that asks for none itself."""
    with socket.create_connection(("127.0.0.1", port)) as plain:
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as secured:
            return secured.selected_alpn_protocol()


shared = ssl.create_default_context()
authority.configure_trust(shared)
print("before any httpx client:", negotiated(shared))
for http2 in (True, False):
    with httpx.Client(verify=shared, http2=http2) as client:
        try:
            client.get(f"https://127.0.0.1:{port}/")
        except httpx.TransportError:
            pass
    print(f"after a client with http2={http2}:", negotiated(shared))
PY
seen=$(python/bin/python see.py)
echo "$seen"
diff <(echo "$seen") - <<'EXPECTED'
before any httpx client: None
after a client with http2=True: h2
after a client with http2=False: http/1.1
EXPECTED
