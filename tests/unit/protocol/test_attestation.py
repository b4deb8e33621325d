"""What a call's signature says, and what is asked of it."""

from __future__ import annotations

from itertools import product

import pytest

from protocol.attestation import Attestation, Verified, read_verstat

ENDINGS = ("", "-Diverted", "-Passthrough")


@pytest.mark.parametrize(("level", "ending"), list(product("ABC", ENDINGS)))
def test_every_value_that_twilio_documents_with_a_level(level: str, ending: str) -> None:
    assert read_verstat(f"TN-Validation-Passed-{level}{ending}") == (Verified(f"passed-{level.lower()}"), True)
    assert read_verstat(f"TN-Validation-Failed-{level}{ending}") == (Verified.FAILED, True)


@pytest.mark.parametrize(
    ("text", "verified", "is_known"),
    [
        ("TN-Validation-Failed", Verified.FAILED, True),
        ("No-TN-Validation", Verified.NONE, True),
        ("", Verified.NONE, True),
        ("NULL", Verified.FAILED, True),
        (" tn-validation-passed-a ", Verified.PASSED_A, True),
        ("TN-Validation-Passed", Verified.NONE, False),
        ("TN-Validation-Passed-D", Verified.NONE, False),
        ("TN-Validation-Passed-A-Else", Verified.NONE, False),
        ("xTN-Validation-Passed-A", Verified.NONE, False),
        ("TN-Validation-Passed-A\nTN-Validation-Failed-A", Verified.NONE, False),
        ("TN-Validation-Failed-D", Verified.FAILED, False),
        ("TN-Validation-Failed-A-Else", Verified.FAILED, False),
        ("?", Verified.NONE, False),
    ],
)
def test_what_is_not_known_is_never_a_validation_that_passed(text: str, verified: Verified, is_known: bool) -> None:
    assert read_verstat(text) == (verified, is_known)


@pytest.mark.parametrize(
    ("attestation", "admitted"),
    [
        (Attestation("ignore"), set(Verified)),
        (Attestation(), set(Verified) - {Verified.FAILED}),
        (Attestation("require", "A"), {Verified.PASSED_A}),
        (Attestation("require"), {Verified.PASSED_A, Verified.PASSED_B}),
        (Attestation("require", "C"), {Verified.PASSED_A, Verified.PASSED_B, Verified.PASSED_C}),
    ],
)
def test_what_each_policy_admits(attestation: Attestation, admitted: set[Verified]) -> None:
    assert {verified for verified in Verified if attestation.admits(verified, "+12025550123")} == admitted


def test_no_signature_is_required_of_countries_whose_networks_do_not_sign() -> None:
    assert Attestation("require").admits(Verified.NONE, "+442079460000")
    assert not Attestation("require").admits(Verified.FAILED, "+442079460000")


@pytest.mark.parametrize(
    ("setting", "own", "policy"),
    [
        ("refuse-failed", "require", "require"),
        ("ignore", "require", "require"),
        ("ignore", "refuse-failed", "refuse-failed"),
        ("require", "refuse-failed", "require"),
        ("refuse-failed", "ignore", "refuse-failed"),
        ("refuse-failed", None, "refuse-failed"),
        ("refuse-failed", "unheard-of", "refuse-failed"),
    ],
)
def test_a_person_may_ask_for_more_never_for_less(setting: str, own: str | None, policy: str) -> None:
    assert Attestation(setting, "A").at_least(own) == Attestation(policy, "A")  # type: ignore[arg-type]
