"""The commands of a chat about devices, keys and the safety number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from buzz_client import BuzzClient, BuzzError, HttpError, Party
from buzz_client.encryption import KeysChanged, KnownDevice, KnownPerson, LinkRefused, SealedMessages, Standing
from server.config.plain_text import one_line

NAMES: Final = frozenset(
    {"/devices", "/safety", "/compared", "/accept", "/refuse", "/link", "/code", "/scan", "/name", "/sign-out"}
)
HELP = """\
  /devices           list your devices and theirs
  /safety            show the safety number: read it to each other by voice
  /compared          remember that you have compared it
  /accept DEVICE     accept a new device, theirs or yours; /refuse DEVICE.
                     If several people have one: /accept person:456 DEVICE
  /link              on a new device of yours: ask another one to link it
  /link DEVICE       on that other one: answer; then /code 123456, the code
                     that the new one shows. Or /scan TEXT of its picture
  /name NAME         name this device
  /sign-out DEVICE   sign a device of yours out"""

Say = Callable[[str, str], None]


class DeviceCommands:
    """Carries them out. ``say``: shows a note, its kind first."""

    def __init__(self, buzz: BuzzClient, sealed: SealedMessages, to: Party, say: Say) -> None:
        self._buzz = buzz
        self._sealed = sealed
        self._to = to
        self._say = say

    async def do(self, command: str, argument: str) -> None:
        """Carry out one command. Raises CommandFailed if it can't be done."""
        try:
            await self._do(command, argument)
        except (LinkRefused, HttpError) as error:
            raise CommandFailed(str(error)) from error

    async def _do(self, command: str, argument: str) -> None:
        match command, argument:
            case "/devices", "":
                await self._list()
            case "/safety", "":
                self._safety()
            case "/compared", "":
                self._sealed.mark_compared(self._known(self._other()).person_id)
                self._say("safety", "remembered: you have compared the safety number")
            case "/accept" | "/refuse", name if name:
                await self._decide(name, accept=command == "/accept")
            case "/link", "":
                start = await self._sealed.start_linking()
                self._say(
                    "link",
                    f"picture: {start.picture}\nconfirm it on another device of yours: in the web app under Devices, "
                    f"in a chat with /link {self._device_id}",
                )
            case "/link", name:
                device = await self._offer(name)
                await self._sealed.answer_link(device.tag)
                self._say("link", "now type /code and the six digits that the new device shows")
            case "/code", code if code:
                await self._confirm(code)
            case "/scan", text if text:
                self._say("link", f"linked: {one_line(await self._sealed.scan_link(text))}")
            case "/name", name if name:
                await self._buzz.http.name_device(self._device_id, name)
                self._say("devices", f"this device is called {one_line(name)}")
            case "/sign-out", name if name:
                await self._buzz.http.sign_out_device(name)
                self._say("devices", f"signed out: {one_line(name)}")
            case _:
                raise CommandFailed(f"{command} is used otherwise:\n{HELP}")

    def advice(self) -> str | None:
        """Return what to do so that others encrypt for this device; None if it is linked."""
        me = self._sealed.me
        if me.linked:
            return None
        if me.alone:
            return (
                "This device is not linked, and no other device of yours is in use that could link it. "
                f"/accept {me.device_id} makes it your first device: the people you talk with see that your keys have "
                "changed, and must accept it."
            )
        return (
            "This device is not linked yet: others do not encrypt for it before it is. Type /link here; then link it "
            f"on a device that you already use: in the web app under Devices, in a chat with /link {me.device_id}."
        )

    def not_sent(self, error: KeysChanged) -> str:
        """Return why a line was not sent, and what to type: a person has devices that nobody vouches for."""
        return f"not sent: {_asks(error.person_id, [name for name, _ in error.devices])}, and write it again"

    def warn(self, data: dict[str, Any]) -> None:
        """Say what has changed about devices (the event ``encryption.person``).

        That somebody has a device that nobody vouches for, or that no device is left that could link this one.
        """
        person = self._sealed.person(data["person_id"])
        if person is None:
            return
        if person.person_id == self._sealed.me.person_id and self._sealed.me.alone and data["removed"]:
            self._say("not_linked", self.advice() or "")
        if not data["waits"]:
            return
        names = [each.device_id for each in person.waiting]
        if person.person_id == self._sealed.me.person_id:
            self._say(
                "warning",
                f"a new device of yours was added: {_listed(names)}. Was it you? Then link it: /link there first. "
                f"Otherwise type {_choice('/refuse', names)}, and /sign-out",
            )
        else:
            self._say("warning", f"{_asks(person.person_id, names)}. Nothing is sent before")

    @property
    def _device_id(self) -> str:
        return self._sealed.me.device_id

    def _other(self) -> int:
        if self._to.kind != "person":
            raise CommandFailed("a company has no safety number: compare those of its members")
        return self._to.id

    def _known(self, person_id: int) -> KnownPerson:
        person = self._sealed.person(person_id)
        if person is None:
            raise CommandFailed(f"the keys of person {person_id} are not known yet: send a message first")
        return person

    async def _list(self) -> None:
        names = {each["device_id"]: each["name"] for each in await self._buzz.http.devices()}
        mine = self._sealed.person(self._sealed.me.person_id)
        advice = self.advice()
        linked = advice is None
        rows = [f"you: {_shown(each, names, self._device_id, linked)}" for each in (mine.devices if mine else ())]
        if self._to.kind == "person" and (theirs := await self._sealed.look_up(self._to.id)):
            rows += [f"{self._to}: {_shown(each, {})}" for each in theirs.devices]
        self._say("devices", "\n".join([*rows, *([advice] if advice else [])]) or "no device is known")

    def _safety(self) -> None:
        person = self._known(self._other())
        digits = self._sealed.safety_number(person.person_id).split()
        lines = "\n".join(" ".join(digits[start : start + 4]) for start in range(0, len(digits), 4))
        state = "you have compared it" if person.compared else "not compared yet: /compared when both see the same"
        self._say("safety", f"{lines}\n{state}")

    async def _decide(self, text: str, *, accept: bool) -> None:
        command = "/accept" if accept else "/refuse"
        whose, name = _whose(text)
        found = [(person_id, device) for person_id, device in await self._named(name) if whose in (None, person_id)]
        if not found:
            raise CommandFailed(f"there is no device {name!r}: /devices lists them")
        # A name is chosen by the device's owner: somebody else may have a device that is called the same.
        waiting = [each for each in found if self._waits(*each)] or found
        if len(waiting) > 1:
            choices = " or ".join(f"{command} person:{person_id} {one_line(name)}" for person_id, _ in waiting)
            raise CommandFailed(f"several people have a device {name!r}: type {choices}")
        person_id, device = waiting[0]
        if self._is_this_one(person_id, device):
            if not accept:
                raise CommandFailed("this is the device that you use: /sign-out it on another one of yours")
            await self._sealed.become_root()
            self._say("devices", f"accepted: {one_line(name)} is your first device now")
            return
        (self._sealed.accept if accept else self._sealed.refuse)(person_id, device.tag)
        self._say("devices", f"{'accepted' if accept else 'refused'}: {one_line(name)} of person {person_id}")

    async def _named(self, name: str) -> list[tuple[int, KnownDevice]]:
        """Return the devices with this name that are in use, each with its person: one's own, theirs, the others'."""
        ids = [self._sealed.me.person_id, *([self._to.id] if self._to.kind == "person" else [])]
        ids += [person.person_id for person in self._sealed.people()]
        # Nothing is known of somebody to whom nothing was sent yet.
        people = [(each, await self._sealed.look_up(each)) for each in dict.fromkeys(ids)]
        devices = [(each, person.named(name)) for each, person in people if person is not None]
        return [(each, device) for each, device in devices if device is not None]

    def _is_this_one(self, person_id: int, device: KnownDevice) -> bool:
        return (person_id, device.device_id) == (self._sealed.me.person_id, self._device_id)

    def _waits(self, person_id: int, device: KnownDevice) -> bool:
        if self._is_this_one(person_id, device):
            return not self._sealed.me.linked  # it trusts itself
        return device.standing is Standing.WAITING

    async def _offer(self, name: str) -> KnownDevice:
        for each in await self._sealed.link_offers():
            if each.device_id == name:
                return each
        raise CommandFailed(f"the device {name!r} does not ask to be linked: type /link there first")

    async def _confirm(self, code: str) -> None:
        for each in await self._sealed.link_offers():
            try:
                await self._sealed.confirm_link(each.tag, code)
            except LinkRefused as error:
                if "answer that device first" in str(error):
                    continue
                raise
            self._say("link", f"linked: {one_line(each.device_id)}")
            return
        raise CommandFailed("type /link DEVICE first")


class CommandFailed(BuzzError):
    """A command could not be carried out. The text says why."""


def _shown(device: KnownDevice, names: dict[str, str | None], own: str | None = None, linked: bool = True) -> str:
    state = "signed out" if device.removed_at is not None else _STATES[device.standing]
    here = device.device_id == own
    if here and not linked and device.removed_at is None:
        state = "not linked yet"  # it trusts itself, the others do not
    name = f" ({one_line(str(names[device.device_id]))})" if names.get(device.device_id) else ""
    return f"{one_line(device.device_id)}{name}{', this one' if here else ''}: {state}"


def _whose(text: str) -> tuple[int | None, str]:
    """Split ``person:456 phone`` into the person and the device's name; without a person, it is None."""
    party, _, name = text.partition(" ")
    kind, _, number = party.partition(":")
    if kind == "person" and number.isdecimal() and name.strip():
        return int(number), name.strip()
    return None, text


def _asks(person_id: int, names: Sequence[str]) -> str:
    return (
        f"the keys of person {person_id} have changed: new device {_listed(names)}. Ask them whether it is theirs, "
        f"then type {_choice('/accept', names)}, or {_choice('/refuse', names)}"
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(one_line(name) for name in names)


def _choice(command: str, names: Sequence[str]) -> str:
    return " and ".join(f"{command} {one_line(name)}" for name in names)


_STATES = {
    Standing.TRUSTED: "trusted",
    Standing.WAITING: "new, waits for /accept or /refuse",
    Standing.REFUSED: "refused",
}
