"""Receives Buzz's events with FastAPI, as multipart forms or JSON. Start: ``python receiver_fastapi.py``."""

import json
import os

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from receiving import body_is_whole, is_from_buzz, nested, store

app = FastAPI()


@app.post("/buzz")
async def receive(request: Request) -> str:
    body = await request.body()
    if not body_is_whole(request.headers, body, os.environ["BUZZ_SECRET"]):
        raise HTTPException(401, "the body's signature is wrong")
    if request.headers["content-type"] == "application/json":
        event = json.loads(body)
    else:
        # Starlette refuses a form field of more than 1 MiB: a recording is larger.
        form = await request.form(max_part_size=4 * 1024 * 1024)
        event = nested(form.items())
    if not is_from_buzz(event["signature"], os.environ["BUZZ_API_KEY"]):
        raise HTTPException(401, "the event's signature is wrong")
    store(event)
    return "stored"


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ.get("PORT", "8000")))
