"""The npm package: its own tests, its types, its size, and what a user gets who installs it into an empty project."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.small_server import small_server
from tests.harness.programs import javascript_client, program

ROOT = Path(__file__).parents[3]
BELONGS = {
    *(".npmrc", "LICENSE", "README.md", "package-lock.json", "package.json", "tsconfig.json", "tsconfig.types.json"),
    *("examples", "scripts", "src", "test"),
}
LIMIT_BYTES = 8_192
LIMIT_WITH_STORE_BYTES = 8_600
LIMIT_WITH_ENCRYPTION_BYTES = 45 * 1024
LIMIT_LATER_BYTES = 4_700
PROGRAM = """
import { connect, indexedDBStore, SendRefused, type Activity, type State, type Store } from "buzz-client"
import { msgpack } from "buzz-client/msgpack"
import { fileStore } from "buzz-client/node"

const store: Store = typeof indexedDB === "undefined" ? fileStore("state.json") : indexedDBStore("jane")
const buzz = await connect("https://buzz.example", { token: async () => "t", deviceId: "d", store, codec: msgpack })
buzz.on("state", (state: State) => console.log(state.state === "waiting" ? state.until.getTime() : state.state))
buzz.on("activity", async (activity) => console.log(activity.sender.id + 1))
buzz.on("call.ringing", (data) => console.log(data.call_id))
buzz.on("receipt", ({ by, id }) => console.log(by.id + id))
buzz.on("device.added", ({ device_id, added_at }) => console.log(device_id.length, added_at.length))
for await (const activity of buzz.activities({ since: 0 })) handle(activity)
function handle({ id, message, createdAt }: Activity): [number, string | null, number] {
  return [id, message, createdAt.getTime()]
}
try {
  const ack = await buzz.send({ to: { type: "person", id: 7 }, message: "x" })
  console.log(ack.id + 1, ack.duplicate === true, buzz.welcome?.personId)
} catch (error) {
  if (error instanceof SendRefused) console.log(error.code.length)
}
const heartbeat = await buzz.http.heartbeat()
console.log(heartbeat.number?.country_code, (await buzz.http.conversations())[0].unread + 1)
for await (const activity of buzz.http.history(0, { party: "person:7" })) handle(activity)
// @ts-expect-error a party has a type
await buzz.send({ to: { id: 7 }, message: "x" })
// @ts-expect-error an id is a number
buzz.activities({ since: "0" })
// @ts-expect-error a store has six methods
await connect("https://buzz.example", { token: "t", store: { loadPosition: () => undefined } })
// @ts-expect-error a receipt has no such field
buzz.on("receipt", ({ from }) => console.log(from))
// @ts-expect-error there is no such field
heartbeat.last_contact_updated
"""
TSCONFIG = {
    "compilerOptions": {
        "strict": True,
        "noEmit": True,
        "target": "ES2022",
        "module": "NodeNext",
        "lib": ["ES2022", "DOM", "DOM.AsyncIterable"],
        "types": ["node"],
    }
}


@pytest.fixture(scope="module")
def package() -> Path:
    return javascript_client()


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tool(package: Path, name: str) -> Path:
    return package / "node_modules" / ".bin" / name


def test_its_own_tests_pass(package: Path) -> None:
    files = sorted(package.glob("test/*.test.js"))
    said = run(program("node"), "--test", "--test-timeout=240000", *files, cwd=package)
    assert re.search(r"^# fail 0$", said, re.MULTILINE)
    assert int(re.findall(r"^# pass (\d+)$", said, re.MULTILINE)[0]) > 40


def test_its_types_hold(package: Path) -> None:
    run(tool(package, "tsc"), cwd=package)


def bundled(package: Path, *app: str) -> dict[str, Any]:
    """Return the bytes after gzip of what an app loads: at once (``entry``), and when it is needed (``later``)."""
    sizes: dict[str, Any] = json.loads(run(program("node"), "test/size.js", *app, cwd=package))
    return sizes


def test_what_an_app_loads_is_small(package: Path) -> None:
    """The HTTP methods and what tabs need to share a socket are loaded when needed."""
    before = sorted(package.iterdir())
    sizes = bundled(package)
    assert sizes["entry"] <= LIMIT_BYTES
    assert sizes["later"] <= LIMIT_LATER_BYTES
    with_store = bundled(package, 'export { connect, indexedDBStore } from "../src/index.js"')
    assert with_store["entry"] <= LIMIT_WITH_STORE_BYTES
    assert sorted(package.iterdir()) == before, "measuring leaves no file behind"


def test_nothing_lies_beside_the_package() -> None:
    """Every file of the package's folder that is in the repository belongs there."""
    listed = run("git", "ls-files", "client/js", cwd=ROOT).splitlines()
    assert {Path(path).parts[2] for path in listed} == BELONGS


def test_what_an_app_with_encryption_loads_is_small(package: Path) -> None:
    """With the libraries; what links devices, and a fallback for old browsers, is loaded when it is needed."""
    code = 'export { connect, indexedDBStore } from "../src/index.js"; export * from "../src/encryption/index.js"'
    sizes = bundled(package, code)
    at_first_send = sizes["later_files"]["outgoing"]
    assert sizes["entry_with_tabs"] + at_first_send <= LIMIT_WITH_ENCRYPTION_BYTES


def test_the_libraries_in_the_web_folder_are_what_the_command_makes(package: Path, tmp_path: Path) -> None:
    run(program("node"), "scripts/vendor.js", tmp_path, cwd=package)
    made = [path for path in tmp_path.glob("*/*") if path.is_file()]
    assert len(made) == 6
    for path in made:
        kept = ROOT / "web" / "vendor" / path.relative_to(tmp_path)
        assert path.read_bytes() == kept.read_bytes(), f"{kept}: run `npm run vendor` in client/js"


def test_it_installs_into_an_empty_project_and_types_a_users_program(package: Path, tmp_path: Path) -> None:
    copy = tmp_path / "source"
    copy.mkdir()
    for name in ("package.json", "tsconfig.json", "tsconfig.types.json", "README.md", "LICENSE"):
        (copy / name).write_bytes((package / name).read_bytes())
    for name in ("src", "examples"):
        shutil.copytree(package / name, copy / name)
    (copy / "node_modules").symlink_to(package / "node_modules")
    project = tmp_path / "project"
    project.mkdir()
    packed = json.loads(run(program("npm"), "pack", "--json", f"--pack-destination={project}", cwd=copy))[0]
    names = {file["path"] for file in packed["files"]}
    assert {"README.md", "LICENSE", "src/index.js", "types/index.d.ts", "examples/bot.js"} <= names
    assert not [name for name in names if name.startswith(("test/", "node_modules/")) or name.endswith(".tsbuildinfo")]
    (project / "package.json").write_text('{"type": "module"}')
    run(program("npm"), "install", "--offline", "--no-audit", "--no-fund", packed["filename"], cwd=project)
    modules = project / "node_modules"
    for name in ("@msgpack", "@types", "undici-types"):
        (modules / name).symlink_to(package / "node_modules" / name)
    (project / "tsconfig.json").write_text(json.dumps(TSCONFIG))
    (project / "program.ts").write_text(PROGRAM)
    run(tool(package, "tsc"), cwd=project)
    loaded = 'import { connect } from "buzz-client"; import "buzz-client/msgpack"; import "buzz-client/node"; connect'
    run(program("node"), "--input-type=module", "--eval", loaded, cwd=project)


async def test_the_readmes_example_runs(package: Path) -> None:
    """Against a small server; the example is the first block of JavaScript."""
    readme = (package / "README.md").read_text("utf-8")
    example = re.findall(r"```js\n(.*?)```", readme, re.DOTALL)[0]
    async with small_server() as server:
        process = await asyncio.create_subprocess_exec(
            program("node"),
            "--input-type=module",
            "--eval",
            example,
            cwd=package,
            env={"BUZZ_URL": server.url, "BUZZ_TOKEN": "7", "BUZZ_OTHER_TOKEN": "8"},
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
    assert process.returncode == 0
    assert output.decode().splitlines() == ["stored as 1", "Jane Doe wrote ciphertext of: hello"]


def test_the_readme_names_every_method_and_every_error(package: Path) -> None:
    readme = (package / "README.md").read_text("utf-8")
    calls = re.findall(r"^  (?:async )?\*?(\w+)\(.*\{$", (package / "src" / "http.js").read_text("utf-8"), re.MULTILINE)
    ends = re.findall(
        r"^export class (\w+) extends SessionEnded", (package / "src" / "errors.js").read_text("utf-8"), re.MULTILINE
    )
    public = [name for name in calls if name not in ("constructor", "if", "for", "catch")]
    assert len(public) == 33
    assert len(ends) == 5
    for name in [*public, *ends]:
        assert f"`{name}`" in readme, f"client/js/README.md does not name {name}"


def test_the_store_of_the_react_native_page_works(package: Path) -> None:
    """The block with the store, with a storage in memory."""
    page = (package / "examples" / "react-native.md").read_text("utf-8")
    code = re.findall(r"```js\n(.*?)```", page, re.DOTALL)[0].replace("export function", "function")
    check = """
    const kept = new Map()
    const storage = {
      getAllKeys: async () => [...kept.keys()],
      getItem: async (key) => kept.get(key) ?? null,
      setItem: async (key, value) => void kept.set(key, value),
      removeItem: async (key) => void kept.delete(key),
      multiGet: async (keys) => keys.map((key) => [key, kept.get(key)]),
      multiRemove: async (keys) => keys.forEach((key) => kept.delete(key)),
    }
    const store = asyncStorageStore(storage)
    const seen = [await store.loadPosition()]
    await store.savePosition({ epoch: "e", lastActivityId: 3, personId: 7 })
    await store.saveParcel({ key: "a", order: 1 })
    await store.saveParcel({ key: "b", order: 2 })
    await store.deleteParcel("a")
    seen.push(await store.loadPosition(), await store.loadParcels())
    await store.clear()
    seen.push(await store.loadParcels())
    console.log(JSON.stringify(seen))
    """
    said = json.loads(run(program("node"), "--input-type=module", "--eval", code + check, cwd=package))
    assert said == [None, {"epoch": "e", "lastActivityId": 3, "personId": 7}, [{"key": "b", "order": 2}], []]
