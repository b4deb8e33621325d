#!/usr/bin/env bash
# RFC 8292 lets the "sub" of a VAPID token be a mailto: or an https: URI, so that a push service can reach whoever
# sends. py_vapid, which signs for pywebpush, takes an https: address only if nothing follows the host's name: a path,
# a port, even the single slash that URL parsers add, and it says that "sub" is missing. web-push for Node signs all of
# them. A setting for the contact that one sender takes stops the other from sending, and the message does not say why.
# Seen with py-vapid 1.9.6 and web-push 3.6.7.
# Needs node, npm and python3. Exits with 1 if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --save-exact web-push@3.6.7
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check py-vapid==1.9.6
cat >contacts.txt <<'TXT'
mailto:push@example.com
https://example.com
https://example.com/
https://example.com/contact
https://example.com:8443
TXT
cat >sign.py <<'PY'
from py_vapid import Vapid, VapidException

vapid = Vapid()
vapid.generate_keys()
for contact in open("contacts.txt").read().split():
    try:
        vapid.sign({"sub": contact, "aud": "https://push.example"})
        print("py_vapid:", contact, "signed")
    except VapidException as error:
        print("py_vapid:", contact, str(error).split(".")[0])
PY
cat >sign.cjs <<'JS'
const webpush = require("web-push");
const { publicKey, privateKey } = webpush.generateVAPIDKeys();
for (const contact of require("fs").readFileSync("contacts.txt", "utf8").trim().split("\n")) {
  webpush.getVapidHeaders("https://push.example", contact, publicKey, privateKey, "aes128gcm");
  console.log("web-push:", contact, "signed");
}
JS
seen=$(python/bin/python sign.py; node sign.cjs)
echo "$seen"
diff <(echo "$seen") - <<'EXPECTED'
py_vapid: mailto:push@example.com signed
py_vapid: https://example.com signed
py_vapid: https://example.com/ Missing 'sub' from claims
py_vapid: https://example.com/contact Missing 'sub' from claims
py_vapid: https://example.com:8443 Missing 'sub' from claims
web-push: mailto:push@example.com signed
web-push: https://example.com signed
web-push: https://example.com/ signed
web-push: https://example.com/contact signed
web-push: https://example.com:8443 signed
EXPECTED
