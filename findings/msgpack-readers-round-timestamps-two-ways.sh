#!/usr/bin/env bash
# A MessagePack timestamp has nanoseconds, a datetime of Python has microseconds. msgspec rounds to the nearest one,
# msgpack and ormsgpack cut off the rest, so a time in the last half microsecond of a second is in that second for some
# and in the next for others, and at midnight on another day. In JavaScript @msgpack/msgpack and msgpackr give the next
# second too, as the milliseconds are computed in a double. Peers in Go, Rust and Java write nanoseconds. Who compares
# times that were read by two programs, as "was this message sent before that read mark", must compare what was sent,
# or send whole microseconds.
# Seen with msgspec 0.23.0, msgpack 1.2.4, ormsgpack 1.13.1 (Python), @msgpack/msgpack 3.1.3, msgpackr 2.1.4
# (JavaScript).
# Needs node, npm and python3. Exits with 1 if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --save-exact msgpackr@2.1.4 @msgpack/msgpack@3.1.3
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check msgspec==0.23.0 ormsgpack==1.13.1 msgpack==1.2.4
cat >read.py <<'PY'
import msgpack
import msgspec
import ormsgpack

# The last nanosecond of 2023, as the 64-bit form of the specification: 30 bits of nanoseconds, 34 bits of seconds.
packed = b"\xd7\xff" + (999_999_999 << 34 | 1_704_067_199).to_bytes(8, "big")
assert msgpack.unpackb(packed) == msgpack.Timestamp(1_704_067_199, 999_999_999)
print("msgspec", msgspec.msgpack.decode(packed))
print("msgpack", msgpack.unpackb(packed, timestamp=3))
print("ormsgpack", ormsgpack.unpackb(packed, option=ormsgpack.OPT_DATETIME_AS_TIMESTAMP_EXT))
open("packed", "wb").write(packed)
PY
cat >read.mjs <<'JS'
import { readFileSync } from "node:fs";
import { decode } from "@msgpack/msgpack";
import { unpack } from "msgpackr";
console.log("@msgpack/msgpack", decode(readFileSync("packed")).toISOString());
console.log("msgpackr", unpack(readFileSync("packed")).toISOString());
JS
seen=$(python/bin/python read.py; node read.mjs)
echo "$seen"
diff <(echo "$seen") - <<'EXPECTED'
msgspec 2024-01-01 00:00:00+00:00
msgpack 2023-12-31 23:59:59.999999+00:00
ormsgpack 2023-12-31 23:59:59.999999+00:00
@msgpack/msgpack 2024-01-01T00:00:00.000Z
msgpackr 2024-01-01T00:00:00.000Z
EXPECTED
