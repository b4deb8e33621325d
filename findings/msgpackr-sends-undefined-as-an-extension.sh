#!/usr/bin/env bash
# msgpackr (JavaScript) packs undefined as an extension of type 0, which is its own: MessagePack leaves types 0 to 127
# to applications. An object with an optional field that is not set, { reply_to: undefined }, so holds something that
# other languages can't read: msgspec refuses the whole message although the field may be null, ormsgpack refuses it
# unless it is given a hook, and msgpack gives an ExtType object as the value. JSON.stringify leaves such a field out,
# and @msgpack/msgpack packs nil, so the client works until it changes its library. Leave the field out before packing,
# or pack with new Packr({ encodeUndefinedAsNil: true, useRecords: false }).
# Seen with msgpackr 2.1.4, @msgpack/msgpack 3.1.3 (JavaScript), msgspec 0.23.0, ormsgpack 1.13.1, msgpack 1.2.4
# (Python).
# Needs node, npm and python3. Exits with 1 if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --save-exact msgpackr@2.1.4 @msgpack/msgpack@3.1.3
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check msgspec==0.23.0 ormsgpack==1.13.1 msgpack==1.2.4
cat >pack.mjs <<'JS'
import { encode } from "@msgpack/msgpack";
import { pack } from "msgpackr";
const message = { text: "hello", reply_to: undefined };
for (const [name, write] of Object.entries({ msgpackr: pack, "@msgpack/msgpack": encode }))
  console.log(name, Buffer.from(write(message)).toString("hex"));
JS
cat >read.py <<'PY'
import sys

import msgpack
import msgspec
import ormsgpack


class Message(msgspec.Struct):
    text: str
    reply_to: str | None = None


for line in sys.stdin:
    writer, packed = line.split()
    for reader, read in (
        ("msgspec", lambda data: msgspec.msgpack.decode(data, type=Message).reply_to),
        ("ormsgpack", lambda data: ormsgpack.unpackb(data)["reply_to"]),
        ("msgpack", lambda data: msgpack.unpackb(data)["reply_to"]),
    ):
        try:
            print(f"{writer} to {reader}: {read(bytes.fromhex(packed))}")
        except ValueError as error:
            print(f"{writer} to {reader}: {error}")
PY
seen=$(node pack.mjs | python/bin/python read.py)
echo "$seen"
diff <(echo "$seen") - <<'EXPECTED'
msgpackr to msgspec: Expected `str | null`, got `ext` - at `$.reply_to`
msgpackr to ormsgpack: ext_hook missing
msgpackr to msgpack: ExtType(code=0, data=b'\x00')
@msgpack/msgpack to msgspec: None
@msgpack/msgpack to ormsgpack: None
@msgpack/msgpack to msgpack: None
EXPECTED
