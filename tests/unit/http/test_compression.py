"""Which coding a client likes best of those that there are."""

from __future__ import annotations

import pytest

from server.http.compression import Coding, chosen


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("", None),
        ("gzip", Coding.GZIP),
        ("zstd", Coding.ZSTD),
        ("gzip, deflate, br, zstd", Coding.ZSTD),
        ("gzip, deflate", Coding.GZIP),
        ("GZip", Coding.GZIP),
        ("x-gzip", Coding.GZIP),
        ("zstd;q=0.5, gzip;q=0.8", Coding.GZIP),
        ("zstd; q=0.8 , gzip;q=0.8", Coding.ZSTD),
        ("gzip;q=0", None),
        ("gzip;q=0, zstd", Coding.ZSTD),
        ("zstd;q=0.000, gzip", Coding.GZIP),
        ("identity, gzip;q=0.5", None),
        ("identity;q=0.5, gzip", Coding.GZIP),
        ("*", None),
        ("br, deflate", None),
        ("gzip;q=nonsense", None),
        ("gzip;q=nan", None),
        ("gzip;q=7", None),
        (";;,=,gzip;x=1", Coding.GZIP),
    ],
)
def test_the_coding_of_an_answer(accepted: str, coding: Coding | None) -> None:
    assert chosen(accepted) is coding


def test_what_there_is_only_one_of() -> None:
    assert chosen("zstd, gzip;q=0.5", (Coding.GZIP,)) is Coding.GZIP
    assert chosen("zstd", (Coding.GZIP,)) is None
