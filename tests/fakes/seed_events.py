"""The two example events of the seed, as form fields."""

from __future__ import annotations

from protocol.forms import Tree

WEB_FORM: Tree = {
    "event_name": "privacy_request.received",
    "signature": {
        "random_token": "b39a5c7ac85ec479f921cdfaae4b4eee",
        "timestamp": "1584300477293",
        "signature": "599a40fb2d25f995a40dc43f725a57be4e8df90d2574f75a498eed0d00bebaeb",
    },
    "id": "72236cca-c0ee-4c43-8e10-d90737557a66",
    "type": "WebForm",
    "acknowledged": "false",
    "extended": "false",
    "completed": "false",
    "deadline": "2020-04-28",
    "created_at": "2020-03-14 18:44:40 UTC",
    "updated_at": "2020-03-14 18:44:40 UTC",
    "service_code": {
        "code": "57",
        "name": "tes",
        "created_at": "2020-01-24 15:58:28 UTC",
        "updated_at": "2020-01-31 21:15:24 UTC",
    },
    "web_form_session": {
        "id": "560179c2-45f6-4168-b5cd-dd640e0c46b2",
        "created_at": "2020-03-14 18:44:40 UTC",
        "first_name": "Julian",
        "last_name": "Salama",
        "email": "admin@privacytollfree.com",
        "requester_type": "Job Applicant",
        "tell_me": "false",
        "delete_me": "false",
        "do_not_sell": "true",
        "other": "",
        "send_me": "false",
        "remote_ip": "::1",
        "state": "DE",
    },
}

VOICEMAIL: Tree = {
    "event_name": "privacy_request.updated",
    "signature": {
        "random_token": "a021778c09cdae8897859340d3f0b32f",
        "timestamp": "1584305606907",
        "signature": "201de4703b7ce1eb33878fa29d77d8572ddeb2affd8e7530397d96c0f652eb90",
    },
    "id": "abf78bbb-a152-4f09-90ad-5802f53721d7",
    "type": "Voicemail",
    "acknowledged": "false",
    "extended": "false",
    "completed": "true",
    "deadline": "2019-11-05",
    "created_at": "2019-09-21 16:31:11 UTC",
    "updated_at": "2020-03-15 20:48:05 UTC",
    "service_code": {
        "code": "2",
        "name": "test",
        "created_at": "2019-09-21 16:31:11 UTC",
        "updated_at": "2020-01-26 05:59:40 UTC",
    },
    "call_session": {
        "created_at": "2019-09-21 16:31:11 UTC",
        "ended_at": "2019-09-21 16:33:11 UTC",
        "caller_id": "+15555555555",
        "caller_name": "John Smith",
        "caller_state": "CA",
        "recording_status": "",
        "mp3_encoded_bytes": "",
        "transcription_status": "completed",
        "transcription_text": "Hello world!",
    },
}
