"""Messages to somebody who has no keys yet: when the web app tries again to send them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.harness.programs import program

APP = Path(__file__).parents[2] / "web" / "app"
TRIED_DURING_A_TRY = """
const waiting = [{ conversation: "person:8", state: "waiting", why: WHY }]
let published = false
const callbacks = {}
const session = {
  state: { state: "live" },
  outgoing: { all: waiting, of: () => waiting },
  async post() {
    if (published) return Boolean(waiting.pop())
    // The keys come after this try has looked for them, and before it has ended.
    published = true
    callbacks["encryption.keys"]({ personId: 8 })
    return false
  },
}
const keyless = new Keyless(session)
keyless.follow({ on: (name, callback) => (callbacks[name] = callback) })
await keyless.sendAll("person:8")
console.log(JSON.stringify(waiting.length))
process.exit()
"""
REFUSED = """
const messages = new Map()
const sent = []
const callbacks = {}
const tell = () => callbacks["encryption.keys"]({ personId: 8 })
let answered
const session = {
  state: { state: "live" },
  keys: { person: () => null },
  outgoing: {
    get all() { return [...messages.values()] },
    of: () => [...messages.values()],
    get: (id) => messages.get(id),
    put: async (message) => void messages.set(message.messageId, message),
  },
  buzz: { http: { publicKeys: () => new Promise((resolve) => (answered = resolve)) } },
  async post({ messageId }) {
    sent.push(messageId)
    return messages.delete(messageId)
  },
}
const message = { messageId: "m", conversation: "person:8", text: "hello", state: "waiting", why: null }
messages.set("m", message)
const keyless = new Keyless(session)
keyless.follow({ on: (name, callback) => (callbacks[name] = callback) })
const { news } = keyless
if (WHEN === "before") tell()
const refused = keyless.refused(message, news)
if (WHEN === "during") tell()
if (WHEN === "gone") messages.delete("m")
answered([])
await refused
console.log(JSON.stringify([sent, messages.get("m")?.why ?? null]))
process.exit()
"""


def run(code: str) -> Any:
    """Return what a program prints that uses the app's `Keyless`."""
    imported = f"import {{ Keyless, WHY }} from {json.dumps(str(APP / 'state' / 'keyless.js'))}\n"
    done = subprocess.run(
        [program("node"), "--input-type=module", "--eval", imported + code],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(done.stdout)


def test_keys_that_come_during_a_try_are_not_missed() -> None:
    assert run(TRIED_DURING_A_TRY) == 0


@pytest.mark.parametrize(
    ("when", "sent", "why"),
    [("before", ["m"], None), ("during", ["m"], None), ("never", [], "waitsForKeys"), ("gone", [], None)],
)
def test_keys_that_come_while_a_message_is_refused_send_it_at_once(when: str, sent: list[str], why: str | None) -> None:
    """Before it was known that the message waits for keys; it does not wait for the next look in 30 seconds."""
    assert run(f"const WHEN = {json.dumps(when)}\n{REFUSED}") == [sent, why]
