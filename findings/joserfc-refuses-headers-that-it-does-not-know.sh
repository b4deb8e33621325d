#!/usr/bin/env bash
# RFC 7515 (section 4) says that header parameters which are not understood and not listed in "crit" must be ignored.
# joserfc (Python) refuses a token that has one, so tokens of identity providers that add their own, such as "cat" or
# "nonce", fail although the signature and the claims are good. PyJWT and jose (JavaScript) take them, and so does
# authlib.jose, which tells its users to move to joserfc. Such a program stops letting people in at the move, or on the
# day that the provider adds a parameter. A registry with strict_check_header=False takes them: jwt.decode(...,
# registry=jws.JWSRegistry(strict_check_header=False)).
# Seen with joserfc 1.8.0, Authlib 1.9.10, PyJWT 2.15.1, jose 6.2.18.
# Needs node, npm and python3. Exits with 1 if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --save-exact jose@6.2.18
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check joserfc==1.8.0 authlib==1.9.10 pyjwt==2.15.1
cat >sign.mjs <<'JS'
import { SignJWT, jwtVerify } from "jose";
const secret = new Uint8Array(64);
const token = await new SignJWT({ sub: "7" }).setProtectedHeader({ alg: "HS256", cat: "session" }).sign(secret);
console.log(token);
console.error("jose:", JSON.stringify((await jwtVerify(token, secret)).payload));
JS
cat >verify.py <<'PY'
import sys

import jwt as pyjwt
from authlib.jose import JsonWebToken
from joserfc import jws, jwt
from joserfc.jwk import OctKey

token, secret = sys.stdin.read().strip(), bytes(64)
lenient = jws.JWSRegistry(strict_check_header=False)
for name, read in (
    ("PyJWT", lambda: pyjwt.decode(token, secret, algorithms=["HS256"])),
    ("authlib.jose", lambda: dict(JsonWebToken(["HS256"]).decode(token, secret))),
    ("joserfc", lambda: jwt.decode(token, OctKey.import_key(secret)).claims),
    ("joserfc, lenient", lambda: jwt.decode(token, OctKey.import_key(secret), registry=lenient).claims),
):
    try:
        print(f"{name}: {read()}")
    except Exception as error:
        print(f"{name}: {error}")
PY
seen=$(node sign.mjs 2>&1 >token; python/bin/python verify.py 2>/dev/null <token)
echo "$seen"
diff <(echo "$seen") - <<'EXPECTED'
jose: {"sub":"7"}
PyJWT: {'sub': '7'}
authlib.jose: {'sub': '7'}
joserfc: unsupported_header: Unsupported {'cat'} in header
joserfc, lenient: {'sub': '7'}
EXPECTED
