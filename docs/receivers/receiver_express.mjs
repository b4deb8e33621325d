// Receives Buzz's events with Express, as JSON or (with multer) as multipart forms. Start: `node receiver_express.mjs`.
import { createHmac, timingSafeEqual } from "node:crypto";
import { appendFile } from "node:fs/promises";
import express from "express";
import multer from "multer";

const TOLERANCE_MS = 300_000;
const app = express();

// express.json() refuses a body of more than 100 kB, multer a field of more than 1 MiB: an event with a recording is larger.
const json = express.json({ limit: "4mb", verify: (request, response, body) => { request.bodySignature = sign(request, body); } });
const form = multer({ limits: { fieldSize: 4 * 1024 * 1024 } }).none();

app.post("/buzz", signStream, json, form, async (request, response) => {
  if (!bodyIsWhole(request)) return response.status(401).send("the body's signature is wrong");
  const event = request.body; // multer nests the fields: service_code[code] is event.service_code.code
  if (!isFromBuzz(event.signature, process.env.BUZZ_API_KEY)) {
    return response.status(401).send("the event's signature is wrong");
  }
  await store(event);
  response.send("stored");
});

// Store the event before Buzz is answered 200: it is not sent again after that.
async function store(event) {
  await appendFile(process.env.EVENTS_FILE, JSON.stringify(event) + "\n", { flush: true });
}

// The event's own signature says who sent the event, and when.
function isFromBuzz(signature, apiKey) {
  const expected = createHmac("sha256", apiKey).update(signature.timestamp + signature.random_token).digest("hex");
  return Math.abs(Date.now() - Number(signature.timestamp)) < TOLERANCE_MS && same(expected, signature.signature);
}

// The Standard Webhooks headers sign the body. multer reads a form as it arrives, so its bytes are signed on the way.
function signStream(request, response, next) {
  if (request.is("multipart/form-data")) {
    const hmac = begin(request);
    request.on("data", (chunk) => hmac.update(chunk));
    request.on("end", () => { request.bodySignature = hmac.digest("base64"); });
  }
  next();
}

function sign(request, body) {
  return begin(request).update(body).digest("base64");
}

function begin(request) {
  const key = Buffer.from(process.env.BUZZ_SECRET.replace("whsec_", ""), "base64");
  return createHmac("sha256", key).update(`${request.get("webhook-id")}.${request.get("webhook-timestamp")}.`);
}

function bodyIsWhole(request) {
  const signatures = (request.get("webhook-signature") ?? "").split(" ");
  return signatures.some((each) => same(`v1,${request.bodySignature}`, each));
}

function same(expected, given) {
  const [one, other] = [Buffer.from(expected), Buffer.from(String(given))];
  return one.length === other.length && timingSafeEqual(one, other);
}

app.listen(Number(process.env.PORT ?? 8000), "127.0.0.1");
