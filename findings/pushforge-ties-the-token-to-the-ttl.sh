#!/usr/bin/env bash
# @pushforge/builder (JavaScript) takes the time to live of a push for the life of its VAPID token as well. A push that
# may wait 30 seconds, as for a ringing phone, gets a token that ends 30 seconds from now, so a push service whose
# clock is a little ahead refuses it; one that may wait two days is an error, although RFC 8030 sets no such bound:
# only the token may not live beyond 24 hours (RFC 8292), and a push needs it once. A ttl of 0, which in RFC 8030 means
# "now or never", becomes 24 hours. The content coding is aesgcm of an early draft; RFC 8291 knows aes128gcm only, so a
# device that follows it can't read the push. web-push for Node does all of this as the RFCs say.
# Seen with @pushforge/builder 2.0.5 and web-push 3.6.7.
# Needs node and npm. Sends nothing. Exits with 1 if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --save-exact @pushforge/builder@2.0.5 web-push@3.6.7
cat >push.mjs <<'JS'
import { createECDH, randomBytes } from "node:crypto";
import { buildPushHTTPRequest } from "@pushforge/builder";
import webpush from "web-push";

const device = createECDH("prime256v1");
const subscription = {
  endpoint: "https://push.example/1",
  keys: { p256dh: device.generateKeys("base64url"), auth: randomBytes(16).toString("base64url") },
};
const pair = webpush.generateVAPIDKeys();
const raw = Buffer.from(pair.publicKey, "base64url");
const [x, y] = [raw.subarray(1, 33), raw.subarray(33)].map((part) => part.toString("base64url"));
const privateJWK = { kty: "EC", crv: "P-256", x, y, d: pair.privateKey };
const subject = "mailto:somebody@example.com";

const makers = {
  "@pushforge/builder": async (ttl) => {
    const message = { payload: "text", adminContact: subject, options: { ttl } };
    const { headers } = await buildPushHTTPRequest({ privateJWK, subscription, message });
    return Object.fromEntries(headers);
  },
  "web-push": async (TTL) => {
    const vapidDetails = { subject, ...pair };
    const { headers } = webpush.generateRequestDetails(subscription, "text", { TTL, vapidDetails });
    return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
  },
};
for (const [name, make] of Object.entries(makers))
  for (const ttl of [0, 30, 172800])
    try {
      const headers = await make(ttl);
      const { exp } = JSON.parse(Buffer.from(headers.authorization.split(".")[1], "base64url"));
      const life = exp - Date.now() / 1000 < 60 ? "seconds" : "hours";
      console.log(`${name}, ${ttl}: TTL ${headers.ttl}, token for ${life}, ${headers["content-encoding"]}`);
    } catch (error) {
      console.log(`${name}, ${ttl}: ${error.message}`);
    }
JS
seen=$(node push.mjs)
echo "$seen"
diff <(echo "$seen") - <<'EXPECTED'
@pushforge/builder, 0: TTL 86400, token for hours, aesgcm
@pushforge/builder, 30: TTL 30, token for seconds, aesgcm
@pushforge/builder, 172800: TTL must be less than 24 hours
web-push, 0: TTL 0, token for hours, aes128gcm
web-push, 30: TTL 30, token for hours, aes128gcm
web-push, 172800: TTL 172800, token for hours, aes128gcm
EXPECTED
