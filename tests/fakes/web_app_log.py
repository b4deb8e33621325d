"""The web app's log of activities, on stores in memory, in Node."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Final

from tests.harness.programs import program

_LOG: Final = Path(__file__).parents[2] / "web" / "app" / "state" / "log.js"
_SCENE: Final = """
const stores = {}
const store = (name) => (stores[name] ??= new Map())
const asked = (result) => {
  const request = { result }
  queueMicrotask(() => request.onsuccess?.())
  return request
}
const database = {
  all: async (name) => [...store(name).values()],
  get: async (name, key) => store(name).get(String(key)),
  async change(names, work) {
    return work((name) => ({
      get: (key) => asked(store(name).get(String(key))),
      put: (value, key = value.key ?? (name === "rows" ? [value.conversation, value.id] : value.id)) =>
        void store(name).set(String(key), value),
      delete: (key) => void store(name).delete(String(key)),
      clear: () => store(name).clear(),
      index: () => ({ getAll: (id) => asked([...store(name).values()].filter(({ messageId }) => messageId === id)) }),
    }))
  },
}
const log = new Log({ database, personId: 7, topics: { changed() {} } })
const untrusted = { text: null, problem: "untrusted_device" }
const message = (id, text) => ({ id, type: "chat_message", sender: { type: "person", id: 8 }, senderName: "John",
  receiver: { type: "person", id: 7 }, receiverName: "Jane", createdAt: new Date(0),
  messageId: `m${id}`, message: text })
const place = (id) => ({ epoch: "e", personId: 7, lastActivityId: id })
const kept = () => [...store("untrusted").keys()].map(Number)
"""


def run(code: str) -> Any:
    """Return what a program prints that uses the app's `Log` on stores in memory."""
    imported = f"import {{ Log }} from {json.dumps(str(_LOG))}\n"
    done = subprocess.run(
        [program("node"), "--input-type=module", "--eval", f"{imported}{_SCENE}{code}\nprocess.exit()"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(done.stdout)
