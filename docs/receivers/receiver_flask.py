"""Receives Buzz's events with Flask, as multipart forms or JSON. Start: ``python receiver_flask.py``."""

import os

from flask import Flask, request
from receiving import body_is_whole, is_from_buzz, nested, store

app = Flask(__name__)
# Flask refuses a form field of more than 500,000 bytes: a recording is larger.
app.config["MAX_FORM_MEMORY_SIZE"] = 4 * 1024 * 1024


@app.post("/buzz")
def receive():
    body = request.get_data()
    if not body_is_whole(request.headers, body, os.environ["BUZZ_SECRET"]):
        return "the body's signature is wrong", 401
    event = request.get_json() if request.is_json else nested(request.form.items())
    if not is_from_buzz(event["signature"], os.environ["BUZZ_API_KEY"]):
        return "the event's signature is wrong", 401
    store(event)
    return "stored"


if __name__ == "__main__":
    app.run(port=int(os.environ.get("PORT", "8000")))
