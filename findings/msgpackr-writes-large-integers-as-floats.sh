#!/usr/bin/env bash
# msgpackr (JavaScript) packs an integer beyond 32 bits as a float64; @msgpack/msgpack packs the same number as uint64.
# A receiver that checks types, as msgspec (Python) does, takes the second and refuses the first: ids work until they pass
# 2^32. Seen with msgpackr 2.1.4, @msgpack/msgpack 3.1.3, msgspec 0.22.0:
#   msgpackr  2^31: ce80000000         2^40: cb4270000000000000
#   @msgpack  2^31: ce80000000         2^40: cf0000010000000000
#   msgspec   int from cb4270000000000000: Expected `int`, got `float`
# Needs node, npm and python3. Exits with 1 if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --save-exact msgpackr@2.1.4 @msgpack/msgpack@3.1.3
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check msgspec==0.22.0
cat >pack.mjs <<'JS'
import { pack } from "msgpackr";
import { encode } from "@msgpack/msgpack";
const hex = (bytes) => Buffer.from(bytes).toString("hex");
for (const [name, write] of [["msgpackr", pack], ["@msgpack", encode]])
  console.log(`${name} ${hex(write(2 ** 31))} ${hex(write(2 ** 40))}`);
JS
cat >read.py <<'PY'
import msgspec

for packed in ("cf0000010000000000", "cb4270000000000000"):
    try:
        print(packed, msgspec.msgpack.decode(bytes.fromhex(packed), type=int))
    except msgspec.ValidationError as error:
        print(packed, error)
PY
seen=$(node pack.mjs; python/bin/python read.py)
echo "$seen"
diff <(echo "$seen") - <<'EXPECTED'
msgpackr ce80000000 cb4270000000000000
@msgpack ce80000000 cf0000010000000000
cf0000010000000000 1099511627776
cb4270000000000000 Expected `int`, got `float`
EXPECTED
