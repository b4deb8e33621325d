"""What is stored as rows of the key store: values to plain maps, and back."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from typing import Any

from buzz_client.encryption.chains import Chain, SendingChain
from buzz_client.encryption.keys import DeviceKeys, SealingKey
from buzz_client.encryption.statements import Link, LinkAnswer
from buzz_client.encryption.trust import KnownDevice, KnownPerson, Standing

Row = dict[str, Any]


@cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def _row(value: Any) -> Row:
    # dataclasses.asdict copies every value in depth, which is most of the time that a person's row takes.
    return {name: getattr(value, name) for name in _names(value.__class__)}


def keys_row(keys: DeviceKeys) -> Row:
    """Return a device's keys as a row."""
    return {**_row(keys), "sealing": [_row(key) for key in keys.sealing]}


def keys_of(row: Row) -> DeviceKeys:
    """Return a device's keys from their row."""
    return DeviceKeys(**{**row, "sealing": tuple(SealingKey(**each) for each in row["sealing"])})


def chain_row(chain: Chain) -> Row:
    """Return a chain's state as a row."""
    return _row(chain)


def chain_of(row: Row | None) -> Chain | None:
    """Return a chain's state from its row, if there is one."""
    return None if row is None else Chain(**row)


def sending_row(sending: SendingChain) -> Row:
    """Return a device's own chain as a row."""
    return {
        "chain": chain_row(sending.chain),
        "started_at": sending.started_at,
        "introduced": sorted(sending.introduced),
        "linked_at": sending.linked_at,
    }


def sending_of(row: Row | None) -> SendingChain | None:
    """Return a device's own chain from its row, if there is one."""
    if row is None:
        return None
    introduced = frozenset[bytes](row["introduced"])
    # An earlier version stored no time of the link.
    return SendingChain(Chain(**row["chain"]), row["started_at"], introduced, row.get("linked_at", 0))


def person_row(person: KnownPerson) -> Row:
    """Return what is known of a person as a row."""
    devices = [{**_row(device), "standing": device.standing.value} for device in person.devices]
    return {**_row(person), "devices": devices}


def person_of(row: Row) -> KnownPerson:
    """Return what is known of a person from its row."""
    devices = (KnownDevice(**{**each, "standing": Standing(each["standing"])}) for each in row["devices"])
    return KnownPerson(**{**row, "devices": tuple(devices)})


def extras_row(link: Link | None, commitment: bytes | None, nonce: bytes | None, answer: LinkAnswer | None) -> Row:
    """Return what an identity's statement says besides its signature as a row."""
    return {
        "link": None if link is None else _row(link),
        "commitment": commitment,
        "nonce": nonce,
        "answer": None if answer is None else _row(answer),
    }


def extras_of(row: Row) -> dict[str, Any]:
    """Return these fields of a statement from their row."""
    return {
        **row,
        "link": None if row["link"] is None else Link(**row["link"]),
        "answer": None if row["answer"] is None else LinkAnswer(**row["answer"]),
    }
