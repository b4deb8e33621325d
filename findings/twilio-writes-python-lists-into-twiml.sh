#!/usr/bin/env bash
# Some TwiML attributes are lists with spaces between the items: the input of <Gather>, statusCallbackEvent of
# <Number>. The twilio package for Node takes an array and writes that; the one for Python takes a list without
# complaint and writes what repr() gives, with brackets and quotes, which is none of the values that Twilio's page
# lists. In the same package calls.create(status_callback_event=[...]) wants a list, so a list is what one tries. Join
# the items with a space.
# Seen with twilio 9.13.0 (Python) and twilio 6.3.1 (Node).
# Needs node, npm and python3. Exits with 1 if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --save-exact twilio@6.3.1
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check twilio==9.13.0
cat >answer.py <<'PY'
from twilio.twiml.voice_response import Dial, Gather

print("python:", Gather(input=["dtmf", "speech"]).to_xml(xml_declaration=False))
dial = Dial()
dial.number("+15005550006", status_callback_event=["initiated", "answered"])
print("python:", dial.to_xml(xml_declaration=False))
PY
cat >answer.cjs <<'JS'
const { VoiceResponse } = require("twilio").twiml;
const response = new VoiceResponse();
response.gather({ input: ["dtmf", "speech"] });
response.dial().number({ statusCallbackEvent: ["initiated", "answered"] }, "+15005550006");
console.log("node:", response.toString().replace(/^.*<Response>|<.Response>/g, ""));
JS
seen=$(python/bin/python answer.py; node answer.cjs)
echo "$seen"
diff <(echo "$seen") - <<'EXPECTED'
python: <Gather input="['dtmf', 'speech']" />
python: <Dial><Number statusCallbackEvent="['initiated', 'answered']">+15005550006</Number></Dial>
node: <Gather input="dtmf speech"/><Dial><Number statusCallbackEvent="initiated answered">+15005550006</Number></Dial>
EXPECTED
