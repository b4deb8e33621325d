#!/usr/bin/env bash
# twilio's RequestValidator for Python takes a JSON body as text only: the same body as bytes, which is what frameworks
# hand out (request.data, await request.body()), raises IndexError although the signature is good. A form field that was
# sent twice must come in a multi-dict (getall or getlist): a plain dict of lists raises TypeError, while twilio's
# package for Node takes such an object and gives the signature that Python gives for a multi-dict.
# Seen with twilio 9.13.0 (Python), twilio 6.3.1 (Node), multidict 6.7.1.
# Needs node, npm and python3. Exits with 1 if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --save-exact twilio@6.3.1
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check twilio==9.13.0 multidict==6.7.1
cat >sign.py <<'PY'
import hashlib

from multidict import MultiDict
from twilio.request_validator import RequestValidator

validator = RequestValidator("12345")
body = '{"a": 1}'
url = "https://example.com/hook?bodySHA256=" + hashlib.sha256(body.encode()).hexdigest()
signature = validator.compute_signature(url, {})
for given in (body, body.encode()):
    try:
        print("python, JSON as", type(given).__name__, validator.validate(url, given, signature))
    except Exception as error:
        print("python, JSON as", type(given).__name__, type(error).__name__)
for form in (MultiDict([("A", "b"), ("A", "a")]), {"A": ["b", "a"]}):
    try:
        print("python, form as", type(form).__name__, validator.compute_signature("https://example.com/hook", form))
    except Exception as error:
        print("python, form as", type(form).__name__, type(error).__name__)
PY
cat >sign.mjs <<'JS'
import twilio from "twilio";
console.log("node, form as object", twilio.getExpectedTwilioSignature("12345", "https://example.com/hook", { A: ["b", "a"] }));
JS
seen=$(python/bin/python sign.py; node sign.mjs)
echo "$seen"
diff <(echo "$seen") - <<'EXPECTED'
python, JSON as str True
python, JSON as bytes IndexError
python, form as MultiDict 3jKpJ3mZtKVniDpUMNZPNe5hJ2I=
python, form as dict TypeError
node, form as object 3jKpJ3mZtKVniDpUMNZPNe5hJ2I=
EXPECTED
