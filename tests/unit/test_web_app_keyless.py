"""Messages to somebody who has no keys yet: when the web app tries again to send them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

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


def test_keys_that_come_during_a_try_are_not_missed() -> None:
    imported = f"import {{ Keyless, WHY }} from {json.dumps(str(APP / 'state' / 'keyless.js'))}"
    done = subprocess.run(
        [program("node"), "--input-type=module", "--eval", imported + TRIED_DURING_A_TRY],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert json.loads(done.stdout) == 0
