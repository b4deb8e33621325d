"""Why a push service gave no answer, as the detail of a :class:`PushAnswer`. Without the URL, which is a secret."""

from __future__ import annotations

from server.http.failures import why_no_answer


def no_answer(error: BaseException) -> str:
    """Return the detail for a request that failed."""
    return f"no answer: {why_no_answer(error, trust='BUZZ_PUSH_CA_FILE')}"


def too_late(seconds: float | None) -> str:
    """Return the detail for a service that took too long: it may have the push."""
    return f"no answer {'in time' if seconds is None else f'within {seconds:g} s'}; the push may arrive nevertheless"
