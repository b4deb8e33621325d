"""The npm package: its own tests, its types, its size, and what a user gets who installs it into an empty project."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.fakes.small_server import small_server
from tests.harness.programs import javascript_client, program

LIMIT_BYTES = 12 * 1024
LIMIT_OF_TABS_BYTES = 2 * 1024
PROGRAM = """
import { connect, indexedDBStore, SendRefused, type Activity, type State, type Store } from "buzz-client"
import { msgpack } from "buzz-client/msgpack"
import { fileStore } from "buzz-client/node"

const store: Store = typeof indexedDB === "undefined" ? fileStore("state.json") : indexedDBStore("jane")
const buzz = await connect("https://buzz.example", { token: async () => "t", deviceId: "d", store, codec: msgpack })
buzz.on("state", (state: State) => console.log(state.state === "waiting" ? state.until.getTime() : state.state))
buzz.on("activity", async (activity) => console.log(activity.sender.id + 1))
buzz.on("call.ringing", (data) => console.log(data.call_id))
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
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tool(package: Path, name: str) -> Path:
    return package / "node_modules" / ".bin" / name


def test_its_own_tests_pass(package: Path) -> None:
    files = sorted(package.glob("test/*.test.js"))
    said = run(program("node"), "--test", *files, cwd=package)
    assert re.search(r"^# fail 0$", said, re.MULTILINE)
    assert int(re.findall(r"^# pass (\d+)$", said, re.MULTILINE)[0]) > 40


def test_its_types_hold(package: Path) -> None:
    run(tool(package, "tsc"), cwd=package)


def bundled(package: Path, folder: Path, code: str) -> dict[str, int]:
    """Return the sizes of the bundle's files after gzip: the entry, and what is loaded when it is needed."""
    (folder / "entry.js").write_text(code.replace("SRC", str(package / "src")))
    options = ["--bundle", "--minify", "--format=esm", "--splitting", "--outdir=out", "--target=es2022"]
    run(tool(package, "esbuild"), "entry.js", *options, cwd=folder)
    return {path.name: len(gzip.compress(path.read_bytes(), 9)) for path in (folder / "out").iterdir()}


def test_what_an_app_loads_is_small(package: Path, tmp_path: Path) -> None:
    """Everything with a store in the browser; what tabs need to share a socket is loaded only where they can."""
    sizes = bundled(package, tmp_path, "export { connect, indexedDBStore } from 'SRC/index.js'")
    assert sizes.pop("entry.js") <= LIMIT_BYTES
    assert sum(sizes.values()) <= LIMIT_OF_TABS_BYTES


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
    assert len(public) == 14
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
