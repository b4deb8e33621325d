"""The test vectors of sealed messages: the client agrees with them, and so does an opening that shares no code."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from buzz_client.encryption import linking
from buzz_client.encryption.chains import Chain, SendingChain
from buzz_client.encryption.message import Container, Place, padded, read
from buzz_client.encryption.safety import safety_number
from buzz_client.encryption.sealing import Opened, Readers, open_sealed, seal
from buzz_client.encryption.statements import KeyText, read_statement
from client.conformance.sealed_vectors import DEVICES, VECTORS, vectors
from tests.harness.third_opening import NotOpened, State, framed, open_message

FILE: dict[str, Any] = json.loads(VECTORS.read_text("utf-8"))


def without_hpke(value: Any) -> Any:
    """The vectors without what HPKE's own randomness changes at each run."""
    if isinstance(value, dict):
        return {name: without_hpke(each) for name, each in value.items() if name != "message"}
    return [without_hpke(each) for each in value] if isinstance(value, list) else value


def test_the_file_is_what_the_generator_writes_but_for_the_randomness_of_hpke() -> None:
    assert without_hpke(vectors()) == without_hpke(FILE)


def test_keys_and_tags() -> None:
    for name, device in FILE["devices"].items():
        keys = DEVICES[name]
        assert keys.identity.hex() == device["identity"]
        assert keys.sealing[0].public.hex() == device["sealing"]
        person, identity = device["person_id"], bytes.fromhex(device["identity"])
        by_the_page = hashlib.sha256(framed("buzz device v1", person, device["device_id"], identity)).hexdigest()[:32]
        assert keys.tag.hex() == device["tag"] == by_the_page


def test_statements_and_the_link() -> None:
    for entry in FILE["statements"]:
        keys, statement = DEVICES[entry["device"]], read_statement(entry["statement"])
        public = keys.identity if entry["algorithm"] == "ed25519" else keys.sealing[0].public
        about = KeyText(keys.person_id, keys.device_id, entry["algorithm"], public)
        assert statement is not None
        assert statement.good(about, keys.identity, FILE["now"])
    entry = FILE["link"]
    old, new = DEVICES[entry["old"]], DEVICES[entry["new"]]
    statement = read_statement(entry["statement"])
    assert statement is not None
    assert statement.link is not None
    assert statement.link.signer == old.identity
    assert statement.link.good(KeyText(new.person_id, new.device_id, "ed25519", new.identity))
    nonces = bytes.fromhex(entry["old_nonce"]), bytes.fromhex(entry["new_nonce"])
    assert linking.link_code(new.person_id, old.identity, new.identity, *nonces) == entry["code"]
    assert linking.commitment(new.identity, nonces[1]).hex() == entry["commitment"]
    assert linking.identity_of(entry["scanned"]) == new.identity


def test_the_safety_number_is_the_same_on_both_sides() -> None:
    one, other = [(person, bytes.fromhex(root)) for person, root in FILE["safety_number"]["people"]]
    assert safety_number(one, other) == safety_number(other, one) == FILE["safety_number"]["digits"]


@pytest.mark.parametrize("entry", FILE["padding"], ids=lambda entry: str(len(entry["text"])))
def test_padding(entry: dict[str, str]) -> None:
    assert padded(entry["text"]).hex() == entry["plaintext"]


def test_each_device_makes_of_the_messages_what_the_file_says() -> None:
    chains: dict[tuple[str, str], Chain] = {}
    for entry in FILE["messages"]:
        place, by, container = Place(**entry["place"]), entry["from"], read(entry["message"])
        assert isinstance(container, Container)
        if entry["chain"]["counter"] == 0:
            chains[by, by] = chain_of(entry)
        for name, result in entry["results"].items():
            keys = DEVICES[name]
            seeds = [key.seed for key in keys.sealing]
            opened = open_sealed(container, place, DEVICES[by].identity, chains.get((name, by)), keys.tag, seeds)
            if isinstance(opened, Opened):
                chains[name, by] = opened.chain
            assert result == ({"text": opened.text} if isinstance(opened, Opened) else {"reason": opened.value})


def chain_of(entry: dict[str, Any]) -> Chain:
    chain = entry["chain"]
    return Chain(bytes.fromhex(chain["id"]), bytes.fromhex(chain["key"]), chain["counter"])


@pytest.mark.parametrize("entry", FILE["messages"], ids=lambda entry: entry["about"])
def test_sealing_again_gives_the_same_bytes(entry: dict[str, Any]) -> None:
    container = read(entry["message"])
    assert isinstance(container, Container)
    sealed_keys = {key.device: key.sealed for key in container.keys}
    readers = Readers(frozenset(sealed_keys), {tag: tag for tag in sealed_keys})
    current = SendingChain(chain_of(entry), FILE["now"])
    again = seal(
        entry["text"],
        Place(**entry["place"]),
        DEVICES[entry["from"]],
        current,
        readers,
        now=FILE["now"],
        random=lambda length: pytest.fail("nothing is random here"),
        seal_for=lambda tag, info, key: sealed_keys[tag],
    )
    assert again.message == entry["message"]


@pytest.mark.parametrize("entry", FILE["refused"], ids=lambda entry: entry["about"])
def test_what_must_be_refused(entry: dict[str, Any]) -> None:
    container, bob = read(entry["message"]), DEVICES["bob"]
    if isinstance(container, Container):
        seeds = [key.seed for key in bob.sealing]
        opened = open_sealed(container, Place(**entry["place"]), DEVICES[entry["from"]].identity, None, bob.tag, seeds)
        assert opened == entry["reason"]
    else:
        assert container == entry["reason"]


def test_an_opening_written_from_the_page_alone_reads_the_same() -> None:
    states: dict[tuple[str, str], State] = {}
    for entry in FILE["messages"]:
        by, chain = entry["from"], entry["chain"]
        if chain["counter"] == 0:
            states[by, by] = (bytes.fromhex(chain["id"]), bytes.fromhex(chain["key"]), 0)
        for name, result in entry["results"].items():
            device, identity = FILE["devices"][name], bytes.fromhex(FILE["devices"][by]["identity"])
            tag, seed = bytes.fromhex(device["tag"]), bytes.fromhex(device["sealing_seed"])
            try:
                text, state = open_message(
                    entry["message"], entry["place"], identity, states.get((name, by)), tag, seed
                )
                states[name, by] = state
                assert result == {"text": text}
            except NotOpened:
                assert result == {"reason": "not_for_this_device"}
