"""Metrics of look-ups, blocked calls and numbers. No number and no id is ever a label."""

from __future__ import annotations

from typing import Final, Literal

from protocol.attestation import Verified
from server.runtime.telemetry import Metrics

_SECONDS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 15.0)

ANSWERS: Final = ("trusted", "untrusted", "nobody", "malformed", "late")
_KEPT: Final = ("stored", "repeated", "lost")


class TelephonyMetrics:
    """Counts of one node.

    ``blocked`` and ``rung``: calls that did not ring, and that did, which were ``stored``, found to be ``repeated``, or
    ``lost`` (storage refused). ``attested``: the result of the call's signature in trust look-ups, or ``unknown``.
    ``numbers``: heartbeats of people without a number who were ``given`` one, for whom there was ``none``, or for whom
    the provider ``failed``.
    """

    def __init__(self, metrics: Metrics) -> None:
        answers = (
            "answered trusted, untrusted, nobody (a number that is nobody's), malformed (a number that can't be read)"
            " or late (after the deadline)"
        )
        self._lookups = {
            "trust": metrics.tally("buzz_trust_lookups", f"Trust look-ups, {answers}", "answer", ANSWERS),
            "call": metrics.tally("buzz_call_lookups", f"Call look-ups, {answers}", "answer", ANSWERS),
        }
        self._seconds = metrics.spread(
            "buzz_lookup_seconds", "Time from a look-up's parameters to its answer", _SECONDS
        )
        self.blocked = metrics.tally("buzz_blocked_calls", "Blocked calls: stored, repeated or lost", "result", _KEPT)
        self.rung = metrics.tally("buzz_rung_calls", "Calls that rang: stored, repeated or lost", "result", _KEPT)
        self.attested = metrics.tally(
            "buzz_attestations",
            "Signatures of calls: passed-a, -b, -c, failed, none, or unknown words",
            "verified",
            (*Verified, "unknown"),
        )
        self.numbers = metrics.tally(
            "buzz_numbers_wanted",
            "Heartbeats of people without a number: given, none or failed",
            "result",
            ("given", "none", "failed"),
        )

    def looked_up(self, lookup: Literal["trust", "call"], answer: str, seconds: float) -> None:
        """Count an answered look-up."""
        self._lookups[lookup].add(answer)
        self._seconds.observe(seconds)
