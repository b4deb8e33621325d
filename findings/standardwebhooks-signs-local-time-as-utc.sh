#!/usr/bin/env bash
# standardwebhooks for Python, the reference library of Standard Webhooks, and svix sign with the wall clock of the
# datetime that they are given, as if it were UTC: sign() replaces the time zone instead of converting it. A sender
# that passes an aware datetime in its own zone and writes the header webhook-timestamp from the same datetime makes
# signatures that no receiver takes, and the same program works on a machine that runs in UTC. The specification wants
# seconds since the epoch, and the JavaScript package signs the moment of the Date. Pass datetime.now(timezone.utc).
# Seen with standardwebhooks 1.1.0 and svix 2.9.1 (Python), standardwebhooks 1.1.1 (JavaScript).
# Needs node, npm and python3. Exits with 1 if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --save-exact standardwebhooks@1.1.1
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check standardwebhooks==1.1.0 svix==2.9.1
cat >sign.py <<'PY'
import base64
from datetime import datetime, timedelta, timezone

import standardwebhooks
import svix

secret = "whsec_" + base64.b64encode(bytes(24)).decode()
body = '{"type":"message"}'
moment = datetime.now(timezone.utc)
seconds = str(int(moment.timestamp()))
for library in (standardwebhooks, svix):
    for name, zone in (("UTC", timezone.utc), ("UTC+2", timezone(timedelta(hours=2)))):
        signature = library.Webhook(secret).sign("msg_1", moment.astimezone(zone), body)
        headers = {"webhook-id": "msg_1", "webhook-timestamp": seconds, "webhook-signature": signature}
        try:
            standardwebhooks.Webhook(secret).verify(body, headers)
            print(f"{library.__name__}, the moment in {name}: taken")
        except standardwebhooks.WebhookVerificationError as error:
            print(f"{library.__name__}, the moment in {name}: {error}")
PY
cat >sign.cjs <<'JS'
const { Webhook } = require("standardwebhooks");
const webhook = new Webhook(Buffer.alloc(24).toString("base64"));
const moment = new Date();
const headers = {
  "webhook-id": "msg_1",
  "webhook-timestamp": String(Math.floor(moment / 1000)),
  "webhook-signature": webhook.sign("msg_1", moment, '{"type":"message"}'),
};
webhook.verify('{"type":"message"}', headers);
console.log("JavaScript, on a clock five hours behind: taken");
JS
seen=$(python/bin/python sign.py; TZ=EST5 node sign.cjs)
echo "$seen"
diff <(echo "$seen") - <<'EXPECTED'
standardwebhooks, the moment in UTC: taken
standardwebhooks, the moment in UTC+2: No matching signature found
svix, the moment in UTC: taken
svix, the moment in UTC+2: No matching signature found
JavaScript, on a clock five hours behind: taken
EXPECTED
