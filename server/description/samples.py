"""The example of each operation as code: curl, Python and JavaScript, for ``x-codeSamples`` in ``/openapi.json``.

``HOST`` stands for the server's address; the page at ``/docs`` writes its own there. A test runs every sample.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pprint import pformat
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode

from server.description.http_examples import HttpExample

HOST: Final = "https://buzz.example"
_INDENT: Final = "    "
_WIDTH: Final = 90


class SampleRequest(NamedTuple):
    """What the code sends: the whole address, and which headers and body. ``bearer``: it needs a token."""

    method: str
    address: str
    headers: Mapping[str, str]
    body: Any
    bearer: bool


def code_samples(method: str, path: str, example: HttpExample, security: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Return the code of an operation's example, by language."""
    places = {f"{{{name}}}": quote(str(value), safe="") for name, value in example.path.items()}
    for place, value in places.items():
        path = path.replace(place, value)
    query = f"?{urlencode(example.query)}" if example.query else ""
    bearer = bool(security) and "twilio" not in security[0]
    request = SampleRequest(method.upper(), HOST + path + query, example.headers, example.body, bearer)
    return [
        {"lang": "Shell", "label": "curl", "source": curl(request)},
        {"lang": "Python", "label": "Python", "source": python(request)},
        {"lang": "JavaScript", "label": "JavaScript", "source": javascript(request)},
    ]


def curl(request: SampleRequest) -> str:
    """Return the request as a command; the token is in the variable TOKEN."""
    method = "" if request.method == "GET" else f" -X {request.method}"
    parts = [f"curl --fail-with-body{method} {shlex.quote(request.address)}"]
    if request.bearer:
        parts.append('-H "Authorization: Bearer $TOKEN"')
    parts += [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in request.headers.items()]
    if request.body is not None:
        parts.append("-H 'Content-Type: application/json'")
        parts.append(f"-d {shlex.quote(_json(request.body))}")
    return " \\\n  ".join(parts)


def python(request: SampleRequest) -> str:
    """Return the request as Python code with the package requests; the token is in the variable token."""
    headers = [f"{name!r}: {value!r}" for name, value in request.headers.items()]
    if request.bearer:
        headers.insert(0, '"Authorization": f"Bearer {token}"')
    arguments = [json.dumps(request.address, ensure_ascii=False)]
    if headers:
        arguments.append(f"headers={{{', '.join(headers)}}}")
    if request.body is not None:
        shown = pformat(request.body, width=_WIDTH, sort_dicts=False)
        arguments.append("json=" + shown.replace("\n", "\n" + _INDENT + "     "))
    arguments.append("timeout=30")
    lines = "".join(f"{_INDENT}{argument},\n" for argument in arguments)
    return (
        f"import requests\n\nanswer = requests.{request.method.lower()}(\n{lines})\n"
        "answer.raise_for_status()\nprint(answer.text)"
    )


def javascript(request: SampleRequest) -> str:
    """Return the request as JavaScript for browsers, Node, Deno and Bun; the token is in the variable token."""
    options = [] if request.method == "GET" else [f"method: {json.dumps(request.method)},"]
    headers = ["Authorization: `Bearer ${token}`"] if request.bearer else []
    headers += [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in request.headers.items()]
    if request.body is not None:
        headers.append('"Content-Type": "application/json"')
    if headers:
        options.append(f"headers: {{ {', '.join(headers)} }},")
    if request.body is not None:
        options.append(f"body: JSON.stringify({_json(request.body, indent=2)}),".replace("\n", "\n  "))
    inner = "".join(f"  {option}\n" for option in options)
    given = f", {{\n{inner}}}" if options else ""
    return (
        f"const answer = await fetch({json.dumps(request.address, ensure_ascii=False)}{given})\n"
        "const text = await answer.text()\n"
        "if (!answer.ok) throw new Error(`${answer.status}: ${text}`)\nconsole.log(text)"
    )


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)
