#!/usr/bin/env bash
# RFC 9864 gives Ed25519 signatures the algorithm name "Ed25519" beside the older "EdDSA". jose (JavaScript) makes keys and
# tokens of that name; PyJWT does not know it. PyJWK refuses such a key, PyJWKSet leaves it out of a set without a word as
# long as one other key can be used, and the token is refused whichever name is allowed. The same key without its "alg"
# is taken, as EdDSA. Seen with PyJWT 2.15.1 and jose 6.2.18.
# Needs node, npm and python3. Exits with 1 if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --save-exact jose@6.2.18
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check 'pyjwt[crypto]==2.15.1'
cat >sign.mjs <<'JS'
import { SignJWT, exportJWK, generateKeyPair } from "jose";
const { privateKey, publicKey } = await generateKeyPair("Ed25519");
const token = await new SignJWT({ sub: "somebody" }).setProtectedHeader({ alg: "Ed25519" }).sign(privateKey);
console.log(JSON.stringify({ token, jwk: { ...(await exportJWK(publicKey)), alg: "Ed25519" } }));
JS
cat >verify.py <<'PY'
import json
import sys

import jwt

given = json.load(sys.stdin)
plain = {name: value for name, value in given["jwk"].items() if name != "alg"}
try:
    jwt.PyJWK(given["jwk"])
except jwt.PyJWKError as error:
    print("one key:", str(error).split(":")[0])
keys = jwt.PyJWKSet.from_dict({"keys": [given["jwk"], plain]}).keys
print("a set of two:", [key.algorithm_name for key in keys])
for name in ("Ed25519", "EdDSA"):
    try:
        print(name, jwt.decode(given["token"], keys[0].key, algorithms=[name]))
    except jwt.InvalidTokenError as error:
        print(f"{name} allowed: {error}")
PY
seen=$(node sign.mjs | python/bin/python verify.py)
echo "$seen"
diff <(echo "$seen") - <<'EXPECTED'
one key: Unable to find an algorithm for key
a set of two: ['EdDSA']
Ed25519 allowed: Algorithm not supported
EdDSA allowed: The specified alg value is not allowed
EXPECTED
