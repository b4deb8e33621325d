"""Who may use the file of the signing key besides its owner."""

from __future__ import annotations

import pytest

from server.auth.signing_keys import gives_others


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
@pytest.mark.parametrize("is_root", [True, False])
def test_only_the_owner(mode: int, is_root: bool) -> None:
    assert not gives_others(0o100000 | mode, owned_by_root=True, is_root=is_root)
    assert not gives_others(0o100000 | mode, owned_by_root=False, is_root=is_root)


@pytest.mark.parametrize("mode", [0o440, 0o640])
def test_the_group_may_read_what_root_owns_for_a_server_that_is_not_root(mode: int) -> None:
    assert not gives_others(mode, owned_by_root=True, is_root=False)
    assert gives_others(mode, owned_by_root=True, is_root=True)
    assert gives_others(mode, owned_by_root=False, is_root=False)


@pytest.mark.parametrize("mode", [0o660, 0o604, 0o644, 0o444, 0o650, 0o602, 0o601, 0o777])
def test_nobody_else_and_nothing_more(mode: int) -> None:
    assert gives_others(mode, owned_by_root=True, is_root=False)
