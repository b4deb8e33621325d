"""The larger demo: twenty people and two more companies, for `run.py demo`. Their numbers are fictional."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

FIRST_ID: Final = 1_001
_NAMES: Final = (
    ("Amara", "Okafor"), ("Ben", "Lindqvist"), ("Chloé", "Moreau"), ("Daniel", "Kim"), ("Elif", "Yılmaz"),
    ("Farid", "Haddad"), ("Grace", "O’Connor"), ("Hiro", "Tanaka"), ("Inés", "Navarro"), ("Jonas", "Weber"),
    ("Kavya", "Raman"), ("Luca", "Bianchi"), ("Mei", "Chen"), ("Noah", "Williams"), ("Olena", "Kovalenko"),
    ("Pedro", "Almeida"), ("Rania", "Mansour"), ("Samuel", "Adeyemi"), ("Tova", "Berg"), ("יעל", "כהן"),
)  # fmt: skip
CROWD: Final = {FIRST_ID + number: f"{first} {last}" for number, (first, last) in enumerate(_NAMES)}
"""The people by their ids."""

COMPANIES: Final = {1_201: "Harbour Clinic", 1_202: "Northlight Energy"}
MEMBERS: Final = {1_201: (1_001, 1_007, 1_013), 1_202: (1_002, 1_010)}


def objects() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the path of each object of the directory below ``/admin/directory/``, and what it is."""
    for number, (first, last) in enumerate(_NAMES):
        phone = f"+1202555{110 + number:04}"
        yield f"person/{FIRST_ID + number}", {"first_name": first, "last_name": last, "numbers": [phone]}
    for number, (id, name) in enumerate(COMPANIES.items()):
        yield f"company/{id}", {"name": name, "numbers": [f"+1800555{150 + number:04}"]}
    for company, people in MEMBERS.items():
        for person in people:
            yield f"member/{company}/{person}", {}
