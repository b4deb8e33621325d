"""What the web app asks the server for after a reconnect, and asks for again if it got no answer."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.harness.programs import program

REPEATER = Path(__file__).parents[2] / "web" / "app" / "state" / "repeater.js"
SCENE = """
const said = []
const waits = []
let live = true
let mayGo
const wait = (ms) => (waits.push(ms), new Promise((resolve) => (mayGo = resolve)))
const repeater = new Repeater(() => live, { random: () => 1, wait })
const work = (name, ...errors) => async () => {
  said.push(name)
  if (errors.length) throw errors.shift()
}
const offline = () => new TypeError("Failed to fetch")
const settle = () => new Promise((resolve) => setImmediate(resolve))
const time = async () => (mayGo(), settle())
"""


def run(code: str) -> Any:
    """Return what was said and the waits of a program that uses the app's `Repeater`."""
    imported = f"import {{ Repeater }} from {json.dumps(str(REPEATER))}\n"
    printed = "\nconsole.log(JSON.stringify([said, waits]))"
    done = subprocess.run(
        [program("node"), "--input-type=module", "--eval", imported + SCENE + code + printed],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(done.stdout)


def test_only_what_failed_is_done_again_and_later_each_time() -> None:
    code = """
    void repeater.run(work("a"), work("b", ...Array.from({ length: 7 }, offline)))
    await settle()
    for (let number = 0; number < 7; number++) await time()
    """
    said, waits = run(code)
    assert said == ["a", *["b"] * 8]
    assert waits == [2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]


def test_what_is_refused_for_good_is_not_repeated() -> None:
    refused = "Object.assign(new Error(), { status: 403 })"
    passing = "Object.assign(new Error(), { status: 429 })"
    said, _ = run(f'void repeater.run(work("a", {refused}), work("b", {passing})); await settle(); await time()')
    assert said == ["a", "b", "b"]


def test_a_newer_run_takes_its_place() -> None:
    code = """
    void repeater.run(work("old", offline()))
    await settle()
    const before = mayGo
    void repeater.run(work("new", offline()))
    await settle()
    before()
    await settle()
    await time()
    """
    assert run(code)[0] == ["old", "new", "new"]


def test_it_stops_without_a_connection() -> None:
    assert run('void repeater.run(work("a", offline())); await settle(); live = false; await time()')[0] == ["a"]
