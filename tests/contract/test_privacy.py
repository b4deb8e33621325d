"""What the store of privacy requests promises (storage/privacy/requests.py), on every backend."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from protocol.privacy_request import (
    CallSession,
    PrivacyRequest,
    Progress,
    RequestType,
    ServiceCode,
    State,
    WebFormSession,
)
from storage.database import Database
from storage.directory import service_codes
from storage.errors import StorageConflict
from storage.privacy import recording_fetches, requests, twilio_copies
from storage.privacy.recording_fetches import FETCHES
from storage.privacy.rows import KeptRequest
from storage.privacy.twilio_copies import COPIES

NOW = 1_584_211_480_000
COMPANY = 7
CODE = ServiceCode("57", "tes", NOW, NOW)
FORM = WebFormSession(
    "s1", NOW, "Julian", "Salama", "j@example.com", "DE", "Job Applicant", False, True, True, False, "x", "::1"
)
CALL = CallSession(NOW, None, "+15555555555", "John Smith", "CA")


def web_form(request_id: str = "r1", company_id: int = COMPANY, now_ms: int = NOW) -> KeptRequest:
    return KeptRequest(
        PrivacyRequest(request_id, company_id, RequestType.WEB_FORM, State(), now_ms, now_ms, CODE, FORM)
    )


def voicemail(request_id: str = "r2") -> KeptRequest:
    request = PrivacyRequest(request_id, COMPANY, RequestType.VOICEMAIL, State(), NOW, NOW, CODE, call_session=CALL)
    return KeptRequest(request, call_sid="CA1", source_id=3, source_signed_at_ms=NOW, source_state=State(True))


async def insert(database: Database, kept: KeptRequest) -> bool:
    async with database.transaction() as transaction:
        return await requests.insert(transaction, kept)


@pytest.mark.parametrize("kept", [web_form(), voicemail()], ids=["web form", "voicemail"])
async def test_a_request_is_read_as_it_was_written(database: Database, kept: KeptRequest) -> None:
    assert await insert(database, kept)
    assert await requests.find(database, kept.request.id) == kept
    assert not await insert(database, kept), "the id is there"
    assert await requests.find(database, "another") is None


async def test_a_change_is_a_revision_with_its_audit_row(database: Database) -> None:
    await insert(database, voicemail())
    async with database.transaction() as transaction:
        held = await requests.hold(transaction, "r2")
        assert held is not None
        session = replace(
            CALL,
            ended_at_ms=NOW + 5,
            recording_status=Progress.COMPLETED,
            transcription_status=Progress.FAILED,
            transcription_text="Hello",
        )
        request = replace(held.request, state=State(True, True, False), updated_at_ms=NOW + 9, call_session=session)
        saved = await requests.save(transaction, replace(held, request=request, source_state=State(False, True, True)))
        await requests.audit(transaction, saved, "person:4", "changed", "acknowledged")
        assert await requests.hold(transaction, "none") is None
    assert await requests.find(database, "r2") == saved
    assert (saved.revision, saved.request.call_session) == (1, session)
    assert [entry[:4] for entry in await requests.trail(database, "r2")] == [(1, NOW + 9, "person:4", "changed")]
    with pytest.raises(StorageConflict):
        async with database.transaction() as transaction:
            await requests.audit(transaction, saved, "person:4", "changed", "twice")


async def test_one_call_makes_one_request(database: Database) -> None:
    await insert(database, voicemail("r2"))
    with pytest.raises(StorageConflict):
        await insert(database, voicemail("r3"))
    assert await requests.find(database, "r3") is None


async def test_a_list_ends_at_its_bytes_and_goes_on_behind_its_last(database: Database) -> None:
    for number in range(70):
        kept = web_form(f"r{number:02}", COMPANY, NOW + number // 3)
        assert kept.request.web_form_session is not None
        session = replace(kept.request.web_form_session, other="x" * 65_536)
        await insert(database, replace(kept, request=replace(kept.request, web_form_session=session)))
    for companies in ([COMPANY], None):
        ids: list[str] = []
        since, after, full = 0, "", True
        while full:
            if companies is None:
                page = await requests.every(database, since, after, 500)
            else:
                page = await requests.listed(database, companies, since, after, 500)
            assert len(page) <= 32, "16 of them are a mebibyte; they are read 32 at a time"
            ids += [request.id for request in page]
            since, after, full = page[-1].updated_at_ms, page[-1].id, requests.is_full(page)
        assert ids == [f"r{number:02}" for number in range(70)]


async def test_requests_are_listed_by_time_of_change(database: Database) -> None:
    for number, company in enumerate((COMPANY, COMPANY, 8, 9, COMPANY)):
        await insert(database, web_form(f"r{number}", company, NOW + number // 2))
    mine = [request.id for request in await requests.listed(database, [COMPANY, 8], 0, "", 10)]
    assert mine == ["r0", "r1", "r2", "r4"]
    assert [request.id for request in await requests.listed(database, [COMPANY, 8], NOW, "r0", 2)] == ["r1", "r2"]
    assert [request.id for request in await requests.listed(database, [COMPANY], NOW + 2, "", 2)] == ["r4"]
    assert await requests.listed(database, [], 0, "", 10) == []
    assert len(await requests.every(database, 0, "", 10)) == 5


async def test_changes_become_visible_in_the_order_of_their_times(database: Database) -> None:
    """Else who asks for what has changed since a time could miss what was under way, on another node, at that time."""
    given: list[int] = []

    async def change(clock_ms: int) -> None:
        async with database.transaction() as transaction:
            given.append(await requests.next_moment(transaction, clock_ms))

    async with database.transaction() as transaction:
        first = await requests.next_moment(transaction, NOW)
        others = [asyncio.create_task(change(clock_ms)) for clock_ms in (NOW - 5_000, NOW)]
        await database.fetch("SELECT 1")
        assert given == [], "they wait until this one is there to be seen"
    await asyncio.gather(*others)
    await change(NOW + 1_000)
    assert [first, *given] == [NOW, NOW + 1, NOW + 2, NOW + 1_000]


async def test_a_service_codes_present_name_is_shown_for_requests_taken_in_here(database: Database) -> None:
    await insert(database, web_form())
    await insert(database, voicemail())
    async with database.transaction() as transaction:
        await service_codes.put(transaction, "57", COMPANY, "renamed", NOW + 1)
    here, elsewhere = await requests.find(database, "r1"), await requests.find(database, "r2")
    assert here is not None
    assert elsewhere is not None
    assert (here.request.service_code.name, elsewhere.request.service_code.name) == ("renamed", "tes")


async def test_service_codes_are_made_changed_and_deleted(database: Database) -> None:
    async with database.transaction() as transaction:
        made = await service_codes.put(transaction, "57", COMPANY, "tes", NOW)
        assert await service_codes.put(transaction, "57", COMPANY, "tes", NOW + 1) == made
        changed = await service_codes.put(transaction, "57", COMPANY, "test", NOW + 2)
        await service_codes.put(transaction, "9", 8, "other", NOW)
    assert (changed.code.created_at_ms, changed.code.updated_at_ms) == (NOW, NOW + 2)
    assert await service_codes.find(database, "57") == changed
    assert [one.code.code for one in await service_codes.all_codes(database)] == ["57", "9"]
    assert await service_codes.all_codes(database, COMPANY) == [changed]
    async with database.transaction() as transaction:
        assert await service_codes.remove(transaction, "57", NOW + 3)
        assert not await service_codes.remove(transaction, "57", NOW + 3)
    assert await service_codes.find(database, "57") is None


async def test_recordings_are_kept_beside_the_request(database: Database) -> None:
    await insert(database, voicemail())
    assert await requests.recording(database, "r2") is None
    async with database.transaction() as transaction:
        await requests.keep_recording(transaction, "r2", b"ID3 one", NOW)
        await requests.keep_recording(transaction, "r2", b"ID3 two", NOW)
        await recording_fetches.order(transaction, "r2", "RE1", NOW)
    assert await requests.recording(database, "r2") == b"ID3 two"
    assert await requests.of_callers(database, ["+15555555555", "+1"]) == ["r2"]
    assert await requests.of_callers(database, []) == []
    async with database.transaction() as transaction:
        await requests.drop_recording(transaction, "r2")
        assert await FETCHES.take(transaction, "a", NOW, NOW + 1) is None
    assert await requests.recording(database, "r2") is None


async def test_a_recording_is_ordered_once(database: Database) -> None:
    await insert(database, voicemail())
    async with database.transaction() as transaction:
        assert await recording_fetches.order(transaction, "r2", "RE1", NOW)
        assert not await recording_fetches.order(transaction, "r2", "RE2", NOW)
        first = await FETCHES.take(transaction, "a", NOW, NOW + 10)
        assert first is not None
        assert first.row == ("r2", "RE1", 0)


async def test_what_twilio_holds_is_deleted_by_one_node_and_once(database: Database) -> None:
    async with database.transaction() as transaction:
        await twilio_copies.note(transaction, "RE1", "r2", unwanted=False)
        await twilio_copies.note(transaction, "RE1", "r2", unwanted=True)
        await twilio_copies.note(transaction, "TR1", "r3", unwanted=True)
        await twilio_copies.note(transaction, "RE9", "r9", unwanted=False)
        await twilio_copies.delete_all(transaction, ["r2", "r3"])
    assert await twilio_copies.waiting(database) == 2

    async def lease(name: str, now_ms: int) -> twilio_copies.Copy | None:
        async with database.transaction() as transaction:
            taken = await COPIES.take(transaction, name, now_ms, now_ms + 10)
            return taken and taken.row

    leased = await asyncio.gather(*(lease(name, NOW) for name in "abc"))
    assert sorted(one.sid for one in leased if one) == ["RE1", "TR1"], "each by one"
    assert await lease("d", NOW + 9) is None
    again = await lease("d", NOW + 10)
    assert again is not None, "its lease has run out"
    async with database.transaction() as transaction:
        assert await COPIES.postpone(transaction, "d", NOW + 100, again.sid)
        assert not await COPIES.finish(transaction, "d", again.sid)
    other = await lease("e", NOW + 11)
    assert other is not None
    assert other.sid != again.sid
    async with database.transaction() as transaction:
        assert await COPIES.finish(transaction, "e", other.sid)
    assert await COPIES.next_due_ms(database, NOW) == NOW + 100
    assert await lease("f", NOW + 100) == (again.sid, 1)
    async with database.transaction() as transaction:
        await COPIES.finish(transaction, "f", again.sid)
    assert await twilio_copies.waiting(database) == 0


async def test_a_download_is_noted_once_in_a_while_and_changes_nothing_else(database: Database) -> None:
    assert await insert(database, voicemail())
    for at_ms in (NOW, NOW + 9, NOW + 11):
        async with database.transaction() as transaction:
            await requests.note_download(transaction, "r2", "endpoint:1", at_ms, 10)
    async with database.transaction() as transaction:
        await requests.note_download(transaction, "r2", "endpoint:2", NOW + 11, 10)
        await requests.note_download(transaction, "gone", "endpoint:1", NOW, 10)
    found = [(entry.at_ms, entry.actor, entry.action) for entry in await requests.trail(database, "r2")]
    assert found == [
        (NOW, "endpoint:1", "recording fetched"),
        (NOW + 11, "endpoint:1", "recording fetched"),
        (NOW + 11, "endpoint:2", "recording fetched"),
    ]
    kept = await requests.find(database, "r2")
    assert kept is not None
    assert kept.request == voicemail().request
