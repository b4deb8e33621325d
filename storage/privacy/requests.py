"""Privacy requests: each one with its session, its recording and its audit trail.

Functions take the transaction they are part of, because a change, its audit row and the deliveries it queues
(``storage/webhooks/deliveries.py``) are atomic. ``hold`` locks a request first, so changes to one request come one
after another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from protocol.privacy_request import CallSession, PrivacyRequest, State, WebFormSession
from storage.bulk import marks
from storage.contract import PAGE_BYTES, ROW_BYTES
from storage.database import Reader, Transaction, Value
from storage.privacy import twilio_copies
from storage.privacy.rows import SELECT, KeptRequest, day_number, kept_request

STEP_ROWS = 32
"""Of a list that are read at once, as long as they may be."""


class AuditEntry(NamedTuple):
    """One row of the audit trail: who did what, when.

    ``actor``: ``person:7``, ``consumer``, ``twilio``, ``source:3``, ``endpoint:3``, ``admin:NAME``.
    """

    revision: int
    at_ms: int
    actor: str
    action: str
    detail: str


async def find(reader: Reader, request_id: str) -> KeptRequest | None:
    """Return the request as it stands."""
    rows = await reader.fetch(f"{SELECT} WHERE r.id = ?", request_id)
    return kept_request(rows[0]) if rows else None


async def listed(
    reader: Reader, company_ids: Sequence[int], since_ms: int, after_id: str, limit: int
) -> list[PrivacyRequest]:
    """Return these companies' requests from (since_ms, after_id) on, by time of change and id.

    At most ``limit``, and no more once :func:`is_full`.
    """
    if not company_ids:
        return []
    of_theirs = f"r.company_id IN ({marks(company_ids)}) AND "
    return await _in_steps(reader, of_theirs, company_ids, since_ms, after_id, limit)


async def every(reader: Reader, since_ms: int, after_id: str, limit: int) -> list[PrivacyRequest]:
    """Return the requests of all companies: the operator's list."""
    return await _in_steps(reader, "", (), since_ms, after_id, limit)


def is_full(found: Sequence[PrivacyRequest]) -> bool:
    """Return whether a list must end here because of its size: a request has up to 65,536 characters of text."""
    return sum(map(_characters, found)) >= PAGE_BYTES


def _characters(request: PrivacyRequest) -> int:
    form, call = request.web_form_session, request.call_session
    return ROW_BYTES + len(form.other if form else "") + len(call.transcription_text if call else "")


async def _in_steps(
    reader: Reader, where: str, values: Sequence[Value], since_ms: int, after_id: str, limit: int
) -> list[PrivacyRequest]:
    sql = f"""{SELECT} WHERE {where}(r.updated_at_ms > ? OR (r.updated_at_ms = ? AND r.id > ?))
              ORDER BY r.updated_at_ms, r.id LIMIT ?"""
    found: list[PrivacyRequest] = []
    while len(found) < limit and not is_full(found):
        most = min(STEP_ROWS, limit - len(found))
        rows = await reader.fetch(sql, *values, since_ms, since_ms, after_id, most)
        found += [kept_request(row).request for row in rows]
        if len(rows) < most:
            break
        since_ms, after_id = found[-1].updated_at_ms, found[-1].id
    return found


async def of_callers(reader: Reader, numbers: Sequence[str]) -> list[str]:
    """Return the ids of the requests that were made by calls from these numbers (E.164) and are not erased."""
    if not numbers:
        return []
    rows = await reader.fetch(f"SELECT request_id FROM call_session WHERE caller_id IN ({marks(numbers)})", *numbers)
    return [request_id for (request_id,) in rows]


async def hold(transaction: Transaction, request_id: str) -> KeptRequest | None:
    """Return the request, locked until the transaction ends, so that no other transaction changes it."""
    # An update that changes nothing takes the row's lock in both dialects; SELECT … FOR UPDATE exists in one only.
    locked = await transaction.execute("UPDATE privacy_request SET revision = revision WHERE id = ?", request_id)
    return await find(transaction, request_id) if locked else None


async def next_moment(transaction: Transaction, now_ms: int) -> int:
    """Return the time of a change: now, or just after the newest change if another node's clock was ahead.

    Only one transaction at a time gets such a time, so changes become visible in the order of their times.
    """
    ((moment_ms,),) = await transaction.fetch(
        """UPDATE privacy_head SET updated_at_ms = CASE WHEN updated_at_ms < ? THEN ? ELSE updated_at_ms + 1 END
           RETURNING updated_at_ms""",
        now_ms,
        now_ms,
    )
    return int(moment_ms)


async def insert(transaction: Transaction, kept: KeptRequest) -> bool:
    """Store a new request with its session; False, and nothing stored, if the id exists already."""
    request, code = kept.request, kept.request.service_code
    inserted = await transaction.execute(
        """INSERT INTO privacy_request (
               id, company_id, type, acknowledged, extended, completed, revision, created_at_ms, updated_at_ms,
               service_code, service_code_name, service_code_created_at_ms, service_code_updated_at_ms,
               source_id, source_signed_at_ms, source_flags, received_day
           ) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING""",
        request.id,
        request.company_id,
        request.type.value,
        *_state(request.state),
        kept.revision,
        request.created_at_ms,
        request.updated_at_ms,
        code.code,
        code.name,
        code.created_at_ms,
        code.updated_at_ms,
        kept.source_id,
        kept.source_signed_at_ms,
        _flags(kept.source_state),
        day_number(request.received_on),
    )
    if inserted:
        await _save_session(transaction, kept)
    return inserted > 0


async def save(transaction: Transaction, kept: KeptRequest) -> KeptRequest:
    """Store a changed request that was held, under its next revision. Returns it with that revision."""
    request, code = kept.request, kept.request.service_code
    saved = replace(kept, revision=kept.revision + 1)
    await transaction.execute(
        """UPDATE privacy_request SET acknowledged = ?, extended = ?, completed = ?, revision = ?, updated_at_ms = ?,
               erased_at_ms = ?, service_code = ?, service_code_name = ?, service_code_created_at_ms = ?,
               service_code_updated_at_ms = ?, source_signed_at_ms = ?, source_flags = ?, received_day = ?
           WHERE id = ?""",
        *_state(request.state),
        saved.revision,
        request.updated_at_ms,
        request.erased_at_ms,
        code.code,
        code.name,
        code.created_at_ms,
        code.updated_at_ms,
        kept.source_signed_at_ms,
        _flags(kept.source_state),
        day_number(request.received_on),
        request.id,
    )
    await _save_session(transaction, kept)
    return saved


async def audit(transaction: Transaction, kept: KeptRequest, actor: str, action: str, detail: str) -> None:
    """Write the audit row of this revision. Raises StorageConflict if there is one already."""
    await transaction.execute(
        "INSERT INTO privacy_audit (request_id, revision, at_ms, actor, action, detail) VALUES (?, ?, ?, ?, ?, ?)",
        kept.request.id,
        kept.revision,
        kept.request.updated_at_ms,
        actor,
        action,
        detail,
    )


async def trail(reader: Reader, request_id: str, after_revision: int = -1, limit: int = 500) -> list[AuditEntry]:
    """Return the audit trail of a request after a revision, oldest first, at most ``limit`` entries."""
    rows = await reader.fetch(
        """SELECT revision, at_ms, actor, action, detail FROM privacy_audit WHERE request_id = ? AND revision > ?
           ORDER BY revision LIMIT ?""",
        request_id,
        after_revision,
        limit,
    )
    return [AuditEntry(*row) for row in rows]


async def recording(reader: Reader, request_id: str) -> bytes | None:
    """Return the recording's MP3, or None if there is none."""
    rows = await reader.fetch("SELECT mp3 FROM recording WHERE request_id = ?", request_id)
    return bytes(rows[0][0]) if rows else None


async def has_recording(reader: Reader, request_id: str) -> bool:
    """Return whether there is a recording, without reading it."""
    return bool(await reader.fetch("SELECT 1 FROM recording WHERE request_id = ?", request_id))


async def note_download(transaction: Transaction, request_id: str, actor: str, now_ms: int, every_ms: int) -> None:
    """Write an audit row for a download of the recording, unless ``actor`` has one that is younger than ``every_ms``.

    The request's time of change stays: a download changes nothing that members see.
    """
    rows = await transaction.fetch(
        "UPDATE privacy_request SET revision = revision + 1 WHERE id = ? RETURNING revision", request_id
    )
    for (revision,) in rows:
        await transaction.execute(
            """INSERT INTO privacy_audit (request_id, revision, at_ms, actor, action, detail)
               SELECT CAST(? AS TEXT), CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS TEXT), 'recording fetched', ''
               WHERE NOT EXISTS (
                   SELECT 1 FROM privacy_audit a WHERE a.request_id = ? AND a.actor = ?
                   AND a.action = 'recording fetched' AND a.at_ms > ?)""",
            request_id,
            revision,
            now_ms,
            actor,
            request_id,
            actor,
            now_ms - every_ms,
        )


async def keep_recording(transaction: Transaction, request_id: str, mp3: bytes, now_ms: int) -> None:
    """Store the recording, in place of an earlier one."""
    await transaction.execute(
        """INSERT INTO recording (request_id, mp3, stored_at_ms) VALUES (?, ?, ?)
           ON CONFLICT (request_id) DO UPDATE SET mp3 = excluded.mp3, stored_at_ms = excluded.stored_at_ms""",
        request_id,
        mp3,
        now_ms,
    )


async def drop_recording(transaction: Transaction, request_id: str) -> None:
    """Delete the recording and its queued fetch, and queue the deletion of Twilio's copies."""
    await transaction.execute("DELETE FROM recording WHERE request_id = ?", request_id)
    await transaction.execute("DELETE FROM recording_fetch WHERE request_id = ?", request_id)
    await twilio_copies.delete_all(transaction, [request_id])


async def _save_session(transaction: Transaction, kept: KeptRequest) -> None:
    if kept.request.web_form_session is not None:
        await _save_web_form(transaction, kept.request.id, kept.request.web_form_session)
    if kept.request.call_session is not None:
        await _save_call(transaction, kept.request.id, kept.call_sid, kept.request.call_session)


async def _save_web_form(transaction: Transaction, request_id: str, session: WebFormSession) -> None:
    await transaction.execute(
        """INSERT INTO web_form_session (
               request_id, id, created_at_ms, first_name, last_name, email, state, requester_type, tell_me, delete_me,
               do_not_sell, send_me, other, remote_ip, suspected_spam
           ) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
           ON CONFLICT (request_id) DO UPDATE SET
               first_name = excluded.first_name, last_name = excluded.last_name, email = excluded.email,
               state = excluded.state, requester_type = excluded.requester_type, tell_me = excluded.tell_me,
               delete_me = excluded.delete_me, do_not_sell = excluded.do_not_sell, send_me = excluded.send_me,
               other = excluded.other, remote_ip = excluded.remote_ip""",
        request_id,
        session.id,
        session.created_at_ms,
        session.first_name,
        session.last_name,
        session.email,
        session.state,
        session.requester_type,
        session.tell_me,
        session.delete_me,
        session.do_not_sell,
        session.send_me,
        session.other,
        session.remote_ip,
        session.suspected_spam,
    )


async def _save_call(transaction: Transaction, request_id: str, call_sid: str | None, session: CallSession) -> None:
    await transaction.execute(
        """INSERT INTO call_session (
               request_id, call_sid, created_at_ms, ended_at_ms, caller_id, caller_name, caller_state,
               recording_status, transcription_status, transcription_text, do_not_sell
           ) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
           ON CONFLICT (request_id) DO UPDATE SET
               ended_at_ms = excluded.ended_at_ms, caller_id = excluded.caller_id,
               caller_name = excluded.caller_name, caller_state = excluded.caller_state,
               recording_status = excluded.recording_status, transcription_status = excluded.transcription_status,
               transcription_text = excluded.transcription_text, do_not_sell = excluded.do_not_sell""",
        request_id,
        call_sid,
        session.created_at_ms,
        session.ended_at_ms,
        session.caller_id,
        session.caller_name,
        session.caller_state,
        session.recording_status.value,
        session.transcription_status.value,
        session.transcription_text,
        session.do_not_sell,
    )


def _state(state: State) -> tuple[Value, Value, Value]:
    return state.acknowledged, state.extended, state.completed


def _flags(state: State) -> int:
    return state.acknowledged | state.extended << 1 | state.completed << 2
