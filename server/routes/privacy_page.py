"""The hosted privacy form as HTML: templates from ``web/privacy_form``, with every value escaped.

It works without JavaScript. A form with errors is returned filled in, with each error at its field and in a summary
that screen readers announce.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from datetime import date
from html import escape
from pathlib import Path
from string import Template
from typing import Final

from protocol.us_states import US_STATES
from protocol.web_form import REQUESTER_TYPES

_FOLDER: Final = Path(__file__).parents[2] / "web" / "privacy_form"
_POLICY: Final = ("default-src 'none'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'")
_LABELS: Final = {
    "first_name": "First name",
    "last_name": "Last name",
    "email": "Email",
    "state": "State",
    "requester_type": "You are a",
    "other": "Anything else",
}
_WISHES: Final = {
    "tell_me": "Tell me what personal information you collect about me, and why",
    "send_me": "Send me a copy of my personal information",
    "delete_me": "Delete my personal information",
    "do_not_sell": "Do not sell or share my personal information",
}
_INPUTS: Final = {
    "first_name": 'autocomplete="given-name" maxlength="100" required',
    "last_name": 'autocomplete="family-name" maxlength="100" required',
    "email": 'type="email" inputmode="email" autocomplete="email" maxlength="254" required',
}


class PrivacyPage:
    """Renders the pages of the form."""

    def __init__(self, folder: Path = _FOLDER) -> None:
        """Read the templates once. Raises OSError if one is missing."""
        page, form, received, problem = (
            Template((folder / f"{name}.html").read_text()) for name in ("page", "form", "received", "problem")
        )
        self._page, self._form, self._received, self._problem = page, form, received, problem
        self._style = (folder / "style.css").read_text()
        digest = base64.b64encode(hashlib.sha256(self._style.encode()).digest()).decode()
        self.content_security_policy = "; ".join((f"style-src 'sha256-{digest}'", *_POLICY))

    def form(
        self, action: str, company: str, submission: str, written: Mapping[str, str], faults: Mapping[str, str]
    ) -> str:
        """Return the form, with what was ``written`` filled in.

        ``faults``: field to sentence; ``""`` for the whole form.
        """
        fields = {name: _input(name, attributes, written, faults) for name, attributes in _INPUTS.items()}
        for name in ("state", "requester_type", "other"):
            fields |= _around(name, faults)
        content = self._form.substitute(
            action=escape(action),
            company=escape(company),
            submission=escape(submission),
            summary=_summary(faults),
            wishes="\n".join(_wish(name, label, written) for name, label in _WISHES.items()),
            states=_options({"": "Choose your state", **US_STATES}, written.get("state", "").upper()),
            requester_types=_options({name: name for name in REQUESTER_TYPES}, written.get("requester_type", "")),
            other=escape(written.get("other", "")),
            **fields,
        )
        title = "Error: your privacy request" if faults else "Your privacy request"
        return self._whole(f"{title} - {company}", content)

    def received(self, company: str, request_id: str, deadline: date) -> str:
        """Return the page after the request was stored."""
        when = f"{deadline:%B} {deadline.day}, {deadline.year}"
        content = self._received.substitute(company=escape(company), id=escape(request_id), deadline=when)
        return self._whole(f"We have your request - {company}", content)

    def problem(self, heading: str, text: str) -> str:
        """Return a page that says why there is no form."""
        return self._whole(heading, self._problem.substitute(heading=escape(heading), text=escape(text)))

    def _whole(self, title: str, content: str) -> str:
        return self._page.substitute(title=escape(title), style=self._style, content=content)


def _input(name: str, attributes: str, written: Mapping[str, str], faults: Mapping[str, str]) -> str:
    around = _around(name, faults)
    return (
        f'<div class="field{around[f"{name}_class"]}">\n<label for="{name}">{_LABELS[name]}</label>\n'
        f"{around[f'{name}_fault']}\n"
        f'<input id="{name}" name="{name}" {attributes} value="{escape(written.get(name, ""))}"'
        f"{around[f'{name}_described']}>\n</div>"
    )


def _around(name: str, faults: Mapping[str, str]) -> dict[str, str]:
    """Return the parts around a field that say what is wrong with it."""
    if name not in faults:
        return {f"{name}_class": "", f"{name}_fault": "", f"{name}_described": ""}
    return {
        f"{name}_class": " faulty",
        f"{name}_fault": f'<p class="fault" id="{name}-fault">{escape(_LABELS[name])} {escape(faults[name])}</p>',
        f"{name}_described": f' aria-invalid="true" aria-describedby="{name}-fault"',
    }


def _wish(name: str, label: str, written: Mapping[str, str]) -> str:
    checked = " checked" if written.get(name, "").lower() in ("true", "on", "1", "yes") else ""
    return (
        f'<label class="wish"><input type="checkbox" name="{name}" id="{name}" value="true"{checked}> {label}</label>'
    )


def _options(choices: Mapping[str, str], chosen: str) -> str:
    return "".join(
        f'<option value="{escape(value)}"{" selected" if value == chosen else ""}>{escape(label)}</option>'
        for value, label in choices.items()
    )


def _summary(faults: Mapping[str, str]) -> str:
    if not faults:
        return ""
    lines = "".join(_summary_line(name, reason) for name, reason in faults.items())
    return f'<div class="summary" role="alert"><h2>Please correct this</h2><ul>{lines}</ul></div>'


def _summary_line(name: str, reason: str) -> str:
    if name in _LABELS:
        return f'<li><a href="#{name}">{_LABELS[name]} {escape(reason)}</a></li>'
    if not name:
        return '<li><a href="#tell_me">Choose at least one thing you would like us to do</a></li>'
    return f"<li>{escape(name)} {escape(reason)}</li>"
