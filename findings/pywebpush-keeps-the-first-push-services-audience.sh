#!/usr/bin/env bash
# pywebpush.webpush() writes "aud" (and "exp") into the dict of VAPID claims that its caller passes. A program that keeps
# its claims in one dict, as a setting, then signs every later push for the push service that it called first, and others
# refuse it (RFC 8292 wants the audience to be the service's own origin). It also sends "TTL: 0" unless told otherwise, so
# that a device that is not connected at that moment never gets the push; web-push for Node sends four weeks.
# Two push services are played on loopback. Seen with pywebpush 2.5.0 and web-push 3.6.7.
# Needs node, npm and python3. Exits with 1 if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --save-exact web-push@3.6.7
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check pywebpush==2.5.0 'pyjwt[crypto]==2.15.1'
cat >request.mjs <<'JS'
import webpush from "web-push";
const [endpoint, p256dh, auth] = process.argv.slice(2);
const keys = webpush.generateVAPIDKeys();
const details = webpush.generateRequestDetails({ endpoint, keys: { p256dh, auth } }, "text", {
  vapidDetails: { subject: "mailto:somebody@example.com", ...keys },
});
console.log("web-push sends TTL", details.headers.TTL);
JS
cat >push.py <<'PY'
import base64
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from py_vapid import Vapid
from pywebpush import webpush

seen = []


class PushService(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        token = self.headers["Authorization"].split("t=")[1].split(",")[0]
        audience = jwt.decode(token, options={"verify_signature": False})["aud"]
        own = f"http://127.0.0.1:{self.server.server_port}"
        seen.append(("its own origin" if audience == own else "another service's origin", self.headers["TTL"]))
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def text(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


device = ec.generate_private_key(ec.SECP256R1()).public_key()
p256dh = text(device.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))
auth = text(os.urandom(16))
vapid = Vapid()
vapid.generate_keys()
claims = {"sub": "mailto:somebody@example.com"}
for name in ("first", "second"):
    server = HTTPServer(("127.0.0.1", 0), PushService)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    subscription = {
        "endpoint": f"http://127.0.0.1:{server.server_port}/push",
        "keys": {"p256dh": p256dh, "auth": auth},
    }
    webpush(subscription, "text", vapid_private_key=vapid, vapid_claims=claims)
    print(f"pywebpush, {name} service: aud is {seen[-1][0]}, TTL {seen[-1][1]}")
print("claims now have:", ", ".join(sorted(claims)))
subprocess.run(["node", "request.mjs", "https://push.example/1", p256dh, auth], check=True)
PY
seen=$(python/bin/python -u push.py)
echo "$seen"
diff <(echo "$seen") - <<'EXPECTED'
pywebpush, first service: aud is its own origin, TTL 0
pywebpush, second service: aud is another service's origin, TTL 0
claims now have: aud, exp, sub
web-push sends TTL 2419200
EXPECTED
