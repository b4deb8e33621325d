#!/usr/bin/env bash
# openapi-python-client (Python) ignores how a query parameter is to be written. A list with "explode": false goes out
# as one pair for each item instead of one pair with commas, so a server that reads it as described takes one item of
# two; an object with "style": "deepObject" loses its own name, so its fields take the place of parameters that have
# theirs, here "since" of a filter and "since" of the page. There is no warning. @hey-api/openapi-ts (JavaScript)
# writes both as OpenAPI 3.1 says. A server that wants every generated client to be understood describes neither.
# Seen with openapi-python-client 0.29.1, httpx 0.28.1, @hey-api/openapi-ts 0.95.0.
# Needs node, npm and python3. Exits with 1 if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --save-exact @hey-api/openapi-ts@0.95.0 typescript@5.9.3 esbuild@0.25.12
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check openapi-python-client==0.29.1 httpx==0.28.1
export PATH="$folder/python/bin:$PATH"
cat >chat.json <<'JSON'
{"openapi": "3.1.0", "info": {"title": "Chat", "version": "1"}, "paths": {"/messages": {"get": {
  "operationId": "listMessages",
  "parameters": [
    {"name": "since", "in": "query", "schema": {"type": "integer"}},
    {"name": "types", "in": "query", "explode": false, "schema": {"type": "array", "items": {"type": "string"}}},
    {"name": "filter", "in": "query", "style": "deepObject", "explode": true,
     "schema": {"type": "object", "properties": {"since": {"type": "string"}}}}],
  "responses": {"204": {"description": "There is nothing."}}}}}}
JSON
openapi-python-client generate --path chat.json --output-path made >report.txt
cat >use.py <<'PY'
from urllib.parse import unquote

import httpx
from chat_client.api.default import list_messages
from chat_client.models import ListMessagesFilter

arguments = list_messages._get_kwargs(since=7, types=["text", "call"], filter_=ListMessagesFilter(since="monday"))
request = httpx.Client(base_url="http://127.0.0.1").build_request(**arguments)
print("openapi-python-client:", unquote(request.url.query.decode()))
PY
npx openapi-ts --input chat.json --output typed >/dev/null
cat >use.ts <<'TS'
import { client } from "./typed/client.gen";
import { listMessages } from "./typed/sdk.gen";
client.setConfig({
  baseUrl: "http://127.0.0.1",
  fetch: async (request) => {
    console.log("openapi-ts:", decodeURIComponent(new URL((request as Request).url).search.slice(1)));
    return new Response(null, { status: 204 });
  },
});
listMessages({ query: { since: 7, types: ["text", "call"], filter: { since: "monday" } } });
TS
npx esbuild use.ts --bundle --format=esm --outfile=use.mjs --log-level=error
seen=$(cat report.txt; PYTHONPATH=made python use.py; node use.mjs)
echo "$seen"
diff <(echo "$seen") - <<'EXPECTED'
Generating made
openapi-python-client: since=monday&types=text&types=call
openapi-ts: since=7&types=text,call&filter[since]=monday
EXPECTED
