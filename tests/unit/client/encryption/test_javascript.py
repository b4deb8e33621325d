"""What the JavaScript client seals is opened by the Python client, and by an opening that shares no code with them."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from buzz_client.encryption.chains import Chain
from buzz_client.encryption.message import Container, Place, read
from buzz_client.encryption.sealing import Opened, open_sealed
from client.conformance.sealed_vectors import DEVICES
from tests.harness.programs import javascript_client, program
from tests.harness.third_opening import State, open_message


def in_node(script: str) -> dict[str, Any]:
    """Run one of the client's scripts and return what it prints."""
    command = [program("node"), f"test/{script}"]
    done = subprocess.run(command, cwd=javascript_client(), capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def test_what_it_seals_is_opened_by_others() -> None:
    said, phone = in_node("seal-for-others.js"), DEVICES["phone"]
    place = Place(**said["place"])
    known: dict[str, Chain] = {}
    states: dict[str, State] = {}
    own = said["messages"][0]["own"]
    known["phone"] = Chain(bytes.fromhex(own["id"]), bytes.fromhex(own["key"]), own["counter"])
    assert [each["text"] for each in said["messages"]] == ["hello", "Grüße 👋", "x" * 500]
    for each in said["messages"]:
        container = read(each["message"])
        assert isinstance(container, Container)
        for name in ("phone", "laptop", "bob"):
            keys = DEVICES[name]
            seeds = [key.seed for key in keys.sealing]
            opened = open_sealed(container, place, phone.identity, known.get(name), keys.tag, seeds)
            assert isinstance(opened, Opened)
            assert opened.text == each["text"]
            known[name] = opened.chain
        bob = DEVICES["bob"]
        text, states["bob"] = open_message(
            each["message"], said["place"], phone.identity, states.get("bob"), bob.tag, bob.sealing[0].seed
        )
        assert text == each["text"]


def test_what_it_costs_in_bytes() -> None:
    costs = in_node("costs.js")
    assert costs["added_bytes"] <= 200
    assert costs["first_message_to_six_devices_bytes"] <= 12 * 1024
