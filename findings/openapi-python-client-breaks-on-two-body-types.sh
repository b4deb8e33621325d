#!/usr/bin/env bash
# openapi-python-client (Python) makes a module that can't be imported for an operation whose body may be JSON or a
# form: it writes "Unset" into the signature, although the body is required, and imports that name only if the
# operation has an optional parameter as well. If it has, the module loads, but where both types have one schema it can
# only send the form: it tells the types apart by the class of the body, so the JSON that it sets first is always
# replaced. OpenAPI lets an operation list as many body types as it likes. Who offers JSON to programs and a form to
# telephony services or HTML pages finds out at the users of the client, as the generator itself reports no warning and
# exits with 0.
# Seen with openapi-python-client 0.29.1, httpx 0.28.1.
# Needs python3. Exits with 1 if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check openapi-python-client==0.29.1 httpx==0.28.1
export PATH="$folder/python/bin:$PATH"
cat >describe.py <<'PY'
import json

message = {"schema": {"$ref": "#/components/schemas/Message"}}
send = {
    "operationId": "send",
    "requestBody": {
        "required": True,
        "content": {"application/json": message, "application/x-www-form-urlencoded": message},
    },
    "responses": {"204": {"description": "The message is kept."}},
}
silent = {"name": "silent", "in": "query", "schema": {"type": "boolean"}}
described = {
    "openapi": "3.1.0",
    "info": {"title": "Chat", "version": "1"},
    "paths": {
        "/messages": {"post": send},
        "/quiet": {"post": {**send, "operationId": "send_quietly", "parameters": [silent]}},
    },
    "components": {
        "schemas": {"Message": {"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}}}
    },
}
print(json.dumps(described))
PY
python describe.py >chat.json
cat >use.py <<'PY'
import httpx
from chat_client.models import Message

try:
    from chat_client.api.default import send
except NameError as error:
    print("send:", error)
from chat_client.api.default import send_quietly

arguments = send_quietly._get_kwargs(body=Message(text="hello"), silent=True)
print("send_quietly sets:", ", ".join(name for name in ("json", "data") if name in arguments))
request = httpx.Client(base_url="http://127.0.0.1").build_request(**arguments)
print("send_quietly sends:", request.headers["content-type"], request.content.decode())
PY
openapi-python-client generate --path chat.json --output-path made >report.txt
seen=$(cat report.txt; PYTHONPATH=made python use.py)
echo "$seen"
diff <(echo "$seen") - <<'EXPECTED'
Generating made
send: name 'Unset' is not defined
send_quietly sets: json, data
send_quietly sends: application/x-www-form-urlencoded text=hello
EXPECTED
