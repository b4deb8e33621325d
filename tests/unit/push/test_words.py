"""What the answers of push services mean, in words."""

from __future__ import annotations

import pytest

from server.push.words import APNS, FCM, WEBPUSH, in_words


@pytest.mark.parametrize(
    ("meanings", "status", "code", "said"),
    [
        (WEBPUSH, 201, "", "HTTP 201"),
        (WEBPUSH, 410, "", "HTTP 410: the device is not registered there any more"),
        (WEBPUSH, 403, "", "HTTP 403: the service does not accept this server's key"),
        (WEBPUSH, 400, "", "HTTP 400: the service does not take this push"),
        (WEBPUSH, 307, "", "HTTP 307: the service leads to another address"),
        (WEBPUSH, 413, "", "HTTP 413: the service finds the push too large"),
        (WEBPUSH, 429, "", "HTTP 429: the service asks for fewer pushes; try again later"),
        (WEBPUSH, 507, "", "HTTP 507: the service has a fault of its own; try again later"),
        (APNS, 403, "InvalidProviderToken", "HTTP 403 InvalidProviderToken: Apple does not accept this server's key"),
        (APNS, 400, "BadDeviceToken", "HTTP 400 BadDeviceToken: the device's token is not one of this app"),
        (APNS, 400, "TopicDisallowed", "HTTP 400 TopicDisallowed: this server's key may not push to this app"),
        (APNS, 403, "ExpiredProviderToken", "HTTP 403 ExpiredProviderToken: this server's signature was too old"),
        (FCM, 404, "UNREGISTERED", "HTTP 404 UNREGISTERED: the device is not registered there any more"),
        (FCM, 403, "SENDER_ID_MISMATCH", "HTTP 403 SENDER_ID_MISMATCH: the device's token belongs to another Firebase"),
        (FCM, 403, "PERMISSION_DENIED", "HTTP 403 PERMISSION_DENIED: Firebase does not accept this server's account"),
    ],
)
def test_an_answer_says_what_it_means(meanings: dict[str, str], status: int, code: str, said: str) -> None:
    assert in_words(meanings, status, code).startswith(said)
