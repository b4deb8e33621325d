"""The code that /docs shows for each operation, run as it is shown, against a node: curl, Python, JavaScript."""

from __future__ import annotations

import asyncio
import json
import os
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from docs.http_examples import Answer, ToSend, play
from server.description.http_examples import examples
from server.description.samples import HOST, SampleRequest, code_samples, curl, javascript, python
from tests.harness.programs import program

RUN_JAVASCRIPT = """
const Run = Object.getPrototypeOf(async function () {}).constructor
for await (const line of require("node:readline").createInterface({ input: process.stdin })) {
  const { source, token } = JSON.parse(line)
  const said = []
  let error = null
  try { await new Run("token", "console", source)(token, { log: (text) => said.push(text) }) }
  catch (thrown) { error = String(thrown) }
  process.stdout.write(JSON.stringify({ said: said.join("\\n"), error }) + "\\n")
}
"""
Run = Callable[[str, str | None], Awaitable[str]]


async def by_curl(source: str, token: str | None) -> str:
    program("curl")
    command, environment = f"{source} --silent --show-error", {**os.environ, "TOKEN": token or ""}
    shell = await asyncio.create_subprocess_exec("bash", "-c", command, env=environment, stdout=PIPE, stderr=PIPE)
    out, errors = await shell.communicate()
    assert shell.returncode == 0, (source, out, errors)
    return out.decode()


async def by_python(source: str, token: str | None) -> str:
    def run() -> str:
        said: list[str] = []
        exec(compile(source, "sample", "exec"), {"token": token, "print": said.append})
        return "\n".join(said)

    return await asyncio.to_thread(run)


async def all_of(language: str, run: Run, data_dir: Path) -> int:
    """Run the samples of one language in the order of the examples; returns how many answered as recorded."""

    async def send(asked: ToSend) -> Answer:
        security = [{"person": []}] if asked.token else []
        # The ids of this node instead of the recorded ones, which are in the path already.
        example = msgspec.structs.replace(asked.example, path={})
        [source] = [
            each["source"]
            for each in code_samples(asked.method, asked.path, example, security)
            if each["label"] == language
        ]
        assert HOST in source
        text = await run(source.replace(HOST, asked.url), asked.token)
        is_json = isinstance(asked.example.answer, dict | list)
        return Answer(200, text, is_json)

    count = 0
    async for played in play(data_dir, send):
        if isinstance(played.example.answer, dict):
            assert set(played.answer) >= set(played.example.answer) - {"components", "paths"}, played.example.operation
        count += 1
    return count


async def test_curl(tmp_path: Path) -> None:
    assert await all_of("curl", by_curl, tmp_path) == len(examples())


async def test_python(tmp_path: Path) -> None:
    assert await all_of("Python", by_python, tmp_path) == len(examples())


async def test_javascript(tmp_path: Path) -> None:
    node = await asyncio.create_subprocess_exec(
        program("node"), "--input-type=commonjs", "-e", f"(async () => {{{RUN_JAVASCRIPT}}})()",
        stdin=PIPE, stdout=PIPE, limit=2**24,
    )  # fmt: skip
    assert node.stdin is not None
    assert node.stdout is not None
    stdin, stdout = node.stdin, node.stdout

    async def run(source: str, token: str | None) -> str:
        stdin.write(json.dumps({"source": source, "token": token}).encode() + b"\n")
        answer = json.loads(await stdout.readline())
        assert answer["error"] is None, (source, answer)
        return str(answer["said"])

    try:
        assert await all_of("JavaScript", run, tmp_path) == len(examples())
    finally:
        stdin.close()
        await node.wait()


@pytest.mark.parametrize("text", ["it's", 'say "hi"', "$(id)", "`id`", "a\\b", "line\nline", "</script>", "ü — ☎"])
async def test_any_text_is_quoted(text: str) -> None:
    request = SampleRequest("POST", f"{HOST}/x", {"Idempotency-Key": "k'"}, {"message": text}, bearer=True)
    shell = await asyncio.create_subprocess_exec(
        "bash", "-c", f"curl() {{ printf '%s\\0' \"$@\"; }}; TOKEN=t; {curl(request)}", stdout=PIPE
    )
    out, _ = await shell.communicate()
    arguments = out.decode().split("\0")
    assert json.loads(arguments[arguments.index("-d") + 1]) == {"message": text}
    assert "Authorization: Bearer t" in arguments
    compile(python(request), "sample", "exec")
    assert json.dumps(text, ensure_ascii=False) in javascript(request)
