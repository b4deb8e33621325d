"""GET and POST /apps/buzz/trust-lookup and /apps/buzz/call-lookup: Twilio's requests while a phone rings."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import msgspec
from aiohttp import hdrs, web
from aiohttp.http_parser import RawRequestMessage
from multidict import MultiDict, MultiMapping

from protocol.errors import ApiError, ErrorCode
from protocol.lookup import CallAnswer, Lookup, TrustAnswer, call_tokens, parse_lookup
from server.auth.contract import SCOPE_LOOKUP, Authenticator, bearer_token
from server.http.direct import Direct, DirectConnection
from server.http.operations import Handler, Operation, described
from server.http.requests import read_body
from server.http.responses import JsonResponse, json_response, whole_json
from server.services.telephony.trust import Question, Trust
from server.twilio.requests import form_pairs
from storage.telephony.callers import Callers

TOKEN_HEADER: Final = "I-Twilio-Idempotency-Token"
CALL_PARAMETER: Final = "CallSid"
_TRUST_PATH: Final = "/apps/buzz/trust-lookup"
_PLAIN_QUERY: Final = re.compile(r"[\w=&.:-]*", re.ASCII)
_FORM: Final = "application/x-www-form-urlencoded"
_JSON: Final = "application/json"
_TRUST: Final = Operation(
    "lookUpTrust",
    "Look up whether a call may ring, and whose number was called",
    "telephony",
    credential="lookup",
    query=Lookup,
    errors=(400, 401, 413, 415, 503),
    headers={TOKEN_HEADER: "Set by Twilio: a repeated request has the same token and is counted once"},
)
_CALL: Final = replace(
    _TRUST,
    id="lookUpCaller",
    summary="Look up who is calling; returns nothing about a caller who is not trusted",
    headers={},
)


@dataclass(frozen=True)
class LookupResource:
    """Both look-ups, by GET with a query and by POST with JSON or a form, with the same answers."""

    lookups: Trust
    auth: Authenticator

    async def trust(self, request: web.Request) -> JsonResponse[TrustAnswer]:
        await self.auth.lookup(request)
        parameters = await _parameters(request)
        tokens = call_tokens(request.headers.get(TOKEN_HEADER), parameters.get(CALL_PARAMETER))
        return json_response(await self.lookups.trust(parse_lookup(parameters), tokens))

    async def call(self, request: web.Request) -> JsonResponse[CallAnswer]:
        await self.auth.lookup(request)
        parameters = await _parameters(request)
        # Only the call's own id: the token differs in each request.
        tokens = call_tokens(None, parameters.get(CALL_PARAMETER))
        return json_response(await self.lookups.call(parse_lookup(parameters), tokens))

    def trust_directly(self, http: DirectConnection, message: RawRequestMessage) -> bool:
        """Begin to answer a trust look-up whose token is known; False: :meth:`trust` has to, which knows the refusals.

        If storage can't be asked, :meth:`trust` asks it again.
        """
        headers = message.headers
        token = bearer_token(headers.get(hdrs.AUTHORIZATION, ""))
        caller = self.auth.cached(token) if token is not None else None
        if caller is None or SCOPE_LOOKUP not in caller.scopes or message.should_close or hdrs.ORIGIN in headers:
            return False
        parameters = _plain_query(message.path.partition("?")[2]) or _unrepeated(message.url.query)
        tokens = call_tokens(headers.get(TOKEN_HEADER), parameters.get(CALL_PARAMETER))
        try:
            question = self.lookups.ask(parse_lookup(parameters), tokens)
        except ApiError:
            return False
        question.answer.add_done_callback(partial(self._answer, http, question))
        return True

    def _answer(self, http: DirectConnection, question: Question, found: asyncio.Future[Callers | None]) -> None:
        try:
            answer = self.lookups.verdict_on(question, found.result()).answer
        except (Exception, asyncio.CancelledError):  # noqa: BLE001 - the other way says and logs what is wrong
            http.decline()
        else:
            http.answer(whole_json(answer))

    def directs(self) -> dict[str, Direct]:
        """Return the trust look-up by GET for :data:`server.http.direct.DIRECT`."""
        return {_TRUST_PATH: self.trust_directly}

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            *_pair(_TRUST_PATH, _TRUST, self.trust),
            *_pair("/apps/buzz/call-lookup", _CALL, self.call),
        ]


def _pair(path: str, by_query: Operation, handler: Handler) -> list[web.RouteDef]:
    """One look-up's two routes."""
    by_body = replace(
        by_query,
        id=f"{by_query.id}ByPost",
        summary=f"{by_query.summary} (with the parameters in the body)",
        query=None,
        body=Lookup,
        body_types=(_JSON, _FORM),
    )
    # No HEAD: it would store a blocked call and show no answer.
    return [
        web.get(path, described(by_query, handler), allow_head=False),
        web.post(path, described(by_body, handler)),
    ]


async def _parameters(request: web.Request) -> Mapping[str, object]:
    """Return the parameters of the query, and of the body if there is one. A repeated one counts as malformed."""
    found = _unrepeated(request.query)
    if request.method == "POST":
        found |= await _body_parameters(request)
    return found


def _plain_query(query: str) -> dict[str, object] | None:
    """Return the parameters of a query that needs no decoding; None if it needs some, or names one more than once."""
    if _PLAIN_QUERY.fullmatch(query) is None:
        return None
    pairs = query.split("&")
    try:
        found: dict[str, object] = {name: value for name, value in [pair.split("=") for pair in pairs]}  # noqa: C416
    except ValueError:  # a part that is no name with one value
        return None
    return found if len(found) == len(pairs) else None


def _unrepeated(pairs: MultiMapping[str]) -> dict[str, object]:
    found: dict[str, object] = dict(pairs)
    if len(found) != len(pairs):
        found = {name: pairs.getall(name) if len(pairs.getall(name)) > 1 else value for name, value in found.items()}
    return found


async def _body_parameters(request: web.Request) -> dict[str, object]:
    body = await read_body(request)
    if not body:
        return {}
    if request.content_type == _JSON:
        return _json_object(body)
    if request.content_type == _FORM:
        pairs = form_pairs(body)
        if pairs is None:
            raise ApiError(ErrorCode.BAD_REQUEST, "The form has too many fields.")
        return _unrepeated(MultiDict(pairs))
    raise ApiError(ErrorCode.UNSUPPORTED_MEDIA_TYPE, f"Unsupported Media Type: send {_JSON} or {_FORM}.")


def _json_object(body: bytes) -> dict[str, object]:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError(ErrorCode.BAD_REQUEST, "The body is not valid JSON in UTF-8.") from error
    if not isinstance(found, dict):
        raise ApiError(ErrorCode.BAD_REQUEST, "The body should be a JSON object.")
    return found
