"""Every right that a node caches, every way in which rights can end, and which of them end which rights.

A right is checked from outside, at one node; an ending is caused at one node, as an operator does it. Each ending has
people and a company of its own, so that all run one after another on the same nodes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from typing import Any, Final

import aiohttp

from server.auth.signing_keys import rotate
from tests.harness.http import Answer, Http
from tests.harness.node import Tokens
from tests.harness.peer import Peer, chat, peer
from tests.harness.people import BOB
from tests.harness.provider import Provider

_numbers = count(1)
FORM: Final = {
    "first_name": "Julian", "last_name": "Salama", "email": "julian@example.com", "state": "DE",
    "requester_type": "Job Applicant", "tell_me": "false", "delete_me": "false", "do_not_sell": "true",
    "send_me": "false", "other": "",
}  # fmt: skip


class Scene:
    """One person, who is a member of one company, at every node; and Bob, who keeps all his rights."""

    def __init__(
        self,
        urls: list[str],
        key_file: Path,
        provider: Provider,
        http: aiohttp.ClientSession,
        stack: AsyncExitStack,
        *,
        from_provider: bool = False,
    ) -> None:
        self.urls = urls
        self.key_file = key_file
        self.provider = provider
        self.number = next(_numbers)
        self.person, self.company, self.contact = 50_000 + self.number, 60_000 + self.number, 70_000 + self.number
        self.code = f"c{self.number}"
        self.phone = f"238555{self.number:04}"
        self.caller = f"202555{self.number:04}"
        self.companys_phone = f"303555{self.number:04}"
        self.request_id = ""
        self.sessions: dict[str, Peer] = {}
        self._tokens = Tokens(key_file.parent)
        self._http = http
        self._stack = stack
        own = self._tokens.person(self.person)
        self.token = provider.token(self.person, "old") if from_provider else own
        self.service = self._tokens.service("lookup")
        self.admin = self._tokens.service("admin")

    async def open(self) -> None:
        """Create the people, and ask every node for every right, so that its caches are filled."""
        await self.import_lines(
            {"kind": "person", "id": self.person, "first_name": "Paula", "numbers": []},
            {"kind": "company", "id": self.company, "name": "Initech", "numbers": [f"+1{self.companys_phone}"]},
            {"kind": "member", "company_id": self.company, "person_id": self.person},
            {"kind": "contact", "id": self.contact, "person_id": self.person, "first_name": "Ann",
             "numbers": [f"+1{self.caller}"], "trusted": True},
            {"kind": "trusted_company", "person_id": self.person, "company_id": self.company},
            {"kind": "number", "number": f"+1{self.phone}", "person_id": self.person},
            {"kind": "service_code", "code": self.code, "name": "Privacy line", "company_id": self.company},
        )  # fmt: skip
        made = await self.ask(0, None, "POST", f"/privacy-requests/{self.code}", json=FORM)
        assert made.status == 201, made.body
        self.request_id = made.json["id"]
        for url in self.urls:
            opened = await self._stack.enter_async_context(peer(url))
            await opened.hello(self.token)
            self.sessions[url] = opened
        await self.until_held(RIGHTS)

    # --- asking ---------------------------------------------------------------------------------------------------

    async def ask(self, node: int, token: str | None, method: str, path: str, **more: Any) -> Answer:
        return await Http(self._http, self.urls[node], token)(method, path, **more)

    async def as_bob(self, node: int, method: str, path: str, **more: Any) -> Answer:
        return await self.ask(node, self._tokens.person(BOB), method, path, **more)

    async def as_operator(self, node: int, method: str, path: str, **more: Any) -> Answer:
        """Return the operator's client with a new token: the operator's own rights must not end with the scene's."""
        answer = await self.ask(node, self._tokens.service("admin"), method, path, **more)
        assert answer.status < 300, (method, path, answer.status, answer.body)
        return answer

    async def import_lines(self, *lines: Mapping[str, Any], node: int = 0) -> None:
        text = "\n".join(map(json.dumps, lines))
        headers = {"Content-Type": "application/x-ndjson"}
        await self.as_operator(node, "POST", "/admin/directory/import", data=text, headers=headers)

    def late_token(self) -> str:
        """Return a token that the person is given now."""
        return self._tokens.person(self.person)

    async def post_to(self, node: int, receiver: int, kind: str = "person") -> Answer:
        return await self.as_bob(node, "POST", "/apps/buzz/activity", json=chat(BOB, receiver, receivable_type=kind))

    async def trusted(self, node: int, inbound: str, token: str | None = None) -> bool:
        """Return the look-up's answer about a call to the person."""
        query = {"number_code": "1", "number": self.phone, "inbound_code": "1", "inbound": inbound}
        query["CallSid"] = f"CA{next(_numbers)}"  # another call each time, because the same call keeps its decision
        asked = token or self._tokens.service("lookup")
        answer = await self.ask(node, asked, "GET", "/apps/buzz/trust-lookup", params=query)
        return answer.status == 200 and answer.json["trusted"] is True

    # --- waiting --------------------------------------------------------------------------------------------------

    async def until_held(self, rights: Mapping[str, Right]) -> None:
        """Until every node grants all of these."""
        async with asyncio.timeout(60):
            for node in range(len(self.urls)):
                for right in rights.values():
                    while not await right(self, node):  # noqa: ASYNC110 - nodes tell nobody what they have heard
                        await asyncio.sleep(0.02)

    async def still_held(self, ending: str, seconds: float) -> list[str]:
        """Return the pairs of right and node that last longer than that after the ending; [] when all have ended."""
        left = {(name, node) for name in ENDS[ending] for node in range(len(self.urls))}
        deadline = asyncio.get_running_loop().time() + seconds
        while left:
            late = asyncio.get_running_loop().time() > deadline
            left = {(name, node) for name, node in left if await RIGHTS[name](self, node)}
            if late:
                break
            await asyncio.sleep(0.02)
        return sorted(f"{name} at node {node}" for name, node in left)


Right = Callable[[Scene, int], Awaitable[bool]]
"""Whether this node still grants it."""
Ending = Callable[[Scene, int], Awaitable[object]]
"""Brings it about at this node."""


# --- rights ---------------------------------------------------------------------------------------------------------


async def _session(scene: Scene, node: int) -> bool:
    session = scene.sessions[scene.urls[node]]
    assert session.close_code in (None, 4401), session.close_code
    return not session.closed


async def _token(scene: Scene, node: int) -> bool:
    return await _opens(scene, node, scene.token)


async def _late_token(scene: Scene, node: int) -> bool:
    return await _opens(scene, node, scene.late_token())


async def _opens(scene: Scene, node: int, token: str) -> bool:
    answer = await scene.ask(node, token, "GET", "/apps/buzz/activity?limit=1")
    assert answer.status in (200, 401), answer.body
    return answer.status == 200


async def _hello(scene: Scene, node: int) -> bool:
    async with peer(scene.urls[node]) as opened:
        await opened.send("hello", token=scene.token)
        await opened.until(lambda seen: seen.closed or seen.of_type("welcome"))
        assert opened.close_code in (None, 4401), opened.close_code
        return not opened.closed


async def _read_request(scene: Scene, node: int) -> bool:
    path = f"/apps/buzz/privacy-requests/{scene.request_id}"
    return (await scene.ask(node, scene.token, "GET", path)).status == 200


async def _list_requests(scene: Scene, node: int) -> bool:
    answer = await scene.ask(node, scene.token, "GET", "/apps/buzz/privacy-requests")
    return answer.status == 200 and answer.json != []


async def _complete_request(scene: Scene, node: int) -> bool:
    path = f"/apps/buzz/privacy-requests/{scene.request_id}"
    return (await scene.ask(node, scene.token, "PATCH", path, json={"completed": True})).status == 200


async def _speak(scene: Scene, node: int) -> bool:
    said = chat(scene.company, BOB, sendable_type="company")
    return (await scene.ask(node, scene.token, "POST", "/apps/buzz/activity", json=said)).status == 200


async def _read_company(scene: Scene, node: int) -> bool:
    path = f"/apps/buzz/activity/0?party=company:{scene.company}"
    answer = await scene.ask(node, scene.token, "GET", path)
    return answer.status == 200 and answer.json != []


async def _pushed(scene: Scene, node: int) -> bool:
    """Return whether the session gets a message to the company that is sent before one to the person."""
    session = scene.sessions[scene.urls[node]]
    to_company = await scene.post_to(node, scene.company, "company")
    to_person = await scene.post_to(node, scene.person)
    if session.closed or to_company.status != 200 or to_person.status != 200:
        return False
    mark = to_person.json["data"]["id"]
    await session.until(lambda seen: seen.closed or mark in seen.ids)
    return to_company.json["data"]["id"] in session.ids


async def _written_to(scene: Scene, node: int) -> bool:
    return (await scene.post_to(node, scene.person)).status == 200


async def _company_written_to(scene: Scene, node: int) -> bool:
    return (await scene.post_to(node, scene.company, "company")).status == 200


async def _keys(scene: Scene, node: int) -> bool:
    return (await scene.as_bob(node, "GET", f"/apps/buzz/public-key/{scene.person}")).status == 200


async def _contacts_call(scene: Scene, node: int) -> bool:
    return await scene.trusted(node, scene.caller)


async def _companys_call(scene: Scene, node: int) -> bool:
    return await scene.trusted(node, scene.companys_phone)


async def _service_token(scene: Scene, node: int) -> bool:
    answer = await scene.ask(node, scene.service, "GET", "/apps/buzz/trust-lookup")
    return answer.status == 400  # the credential was accepted, and the parameters are missing


async def _admin_token(scene: Scene, node: int) -> bool:
    return (await scene.ask(node, scene.admin, "GET", f"/admin/directory/person/{BOB}")).status == 200


RIGHTS: Final[Mapping[str, Right]] = {
    "live session": _session,
    "token": _token,
    "token, for a new session": _hello,
    "token made afterwards": _late_token,
    "read a privacy request": _read_request,
    "list privacy requests": _list_requests,
    "complete a privacy request": _complete_request,
    "write as the company": _speak,
    "read as the company": _read_company,
    "be pushed what the company gets": _pushed,
    "be written to": _written_to,
    "company is written to": _company_written_to,
    "public keys are shown": _keys,
    "contact's call rings": _contacts_call,
    "company's call rings": _companys_call,
    "service's token": _service_token,
    "admin's token": _admin_token,
}

_TOKEN = {"live session", "token", "token, for a new session"}
_MEMBER = {
    "read a privacy request", "list privacy requests", "complete a privacy request", "write as the company",
    "read as the company", "be pushed what the company gets",
}  # fmt: skip
_PERSON = {
    "token made afterwards", "be written to", "public keys are shown", "contact's call rings", "company's call rings",
}  # fmt: skip
_COMPANY = {"company is written to", "company's call rings"}
_SERVICES = {"service's token", "admin's token"}


# --- endings --------------------------------------------------------------------------------------------------------


def _delete(path: str) -> Ending:
    async def ended(scene: Scene, node: int) -> None:
        await scene.as_operator(node, "DELETE", "/admin/directory/" + path.format(scene=scene))

    return ended


def _import(kind: str, **identity: str) -> Ending:
    async def ended(scene: Scene, node: int) -> None:
        ids = {name: getattr(scene, whose) for name, whose in identity.items()}
        await scene.import_lines({"kind": kind, **ids, "deleted": True}, node=node)

    return ended


def _revoke(what: str) -> Ending:
    async def ended(scene: Scene, node: int) -> None:
        body = {"person_id": scene.person} if what == "person" else {"token": getattr(scene, what)}
        await scene.as_operator(node, "POST", "/admin/revocations", json=body)

    return ended


async def _erase(scene: Scene, node: int) -> None:
    await scene.as_operator(node, "POST", "/admin/erasures", json={"person_id": scene.person})


async def _forget_key(scene: Scene, _: int) -> None:
    await asyncio.to_thread(rotate, scene.key_file, forget_old=True)


async def _take_provider_key(scene: Scene, _: int) -> None:
    scene.provider.take_away("old")


PROVIDERS: Final = "identity provider's key is taken away"
ENDINGS: Final[Mapping[str, Ending]] = {
    "person removed by route": _delete("person/{scene.person}"),
    "person removed by import": _import("person", id="person"),
    "person erased": _erase,
    "token revoked": _revoke("token"),
    "person's tokens revoked": _revoke("person"),
    "member removed by route": _delete("member/{scene.company}/{scene.person}"),
    "member removed by import": _import("member", company_id="company", person_id="person"),
    "company removed by route": _delete("company/{scene.company}"),
    "company removed by import": _import("company", id="company"),
    "contact removed": _delete("contact/{scene.contact}"),
    "trust in the company removed": _delete("trusted_company/{scene.person}/{scene.company}"),
    "service's token revoked": _revoke("service"),
    "admin's token revoked": _revoke("admin"),
    "signing key forgotten": _forget_key,
    PROVIDERS: _take_provider_key,
}

ENDS: Final[Mapping[str, set[str]]] = {
    "person removed by route": _TOKEN | _MEMBER | _PERSON,
    "person removed by import": _TOKEN | _MEMBER | _PERSON,
    "person erased": _TOKEN | _MEMBER | _PERSON,
    "token revoked": _TOKEN | _MEMBER,
    "person's tokens revoked": _TOKEN | _MEMBER,
    "member removed by route": _MEMBER,
    "member removed by import": _MEMBER,
    "company removed by route": _MEMBER | _COMPANY,
    "company removed by import": _MEMBER | _COMPANY,
    "contact removed": {"contact's call rings"},
    "trust in the company removed": {"company's call rings"},
    "service's token revoked": {"service's token"},
    "admin's token revoked": {"admin's token"},
    "signing key forgotten": _TOKEN | _MEMBER | _SERVICES,
    PROVIDERS: _TOKEN | _MEMBER,
}
"""What each ending takes away. Everything else of the table goes on, and is asked for as well."""


async def outlived(scene: Scene, ending: str, node: int, seconds: float) -> list[str]:
    """Cause the ending at this node; returns the rights that still exist after ``seconds``, each with its node.

    Fails if a right was lost that must not end.
    """
    await ENDINGS[ending](scene, node)
    left = await scene.still_held(ending, seconds)
    await scene.until_held({name: right for name, right in RIGHTS.items() if name not in ENDS[ending]})
    return left
