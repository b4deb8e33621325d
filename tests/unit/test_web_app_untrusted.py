"""What the web app keeps of devices that are not trusted yet: how much, and until when."""

from __future__ import annotations

from tests.fakes.web_app_log import run


def test_they_are_stored_with_the_place_in_the_log() -> None:
    found = run("""
log.take(message(1, "x"), untrusted)
log.take(message(2, "x"), untrusted)
await log.store.savePosition(place(1))
console.log(JSON.stringify([kept(), [...log.untrusted.keys()]]))
""")
    assert found == [[1], [1, 2]]


def test_the_oldest_are_dropped_when_there_are_too_many() -> None:
    found = run("""
for (let id = 1; id <= 600; id++) log.take(message(id, "x"), untrusted)
await log.store.savePosition(place(600))
for (let id = 601; id <= 610; id++) log.take(message(id, "x"), untrusted)
await log.store.savePosition(place(610))
console.log(JSON.stringify([kept().length, Math.min(...kept()), log.untrusted.size]))
""")
    assert found == [500, 111, 500]


def test_the_oldest_are_dropped_when_they_are_too_large() -> None:
    found = run("""
for (let id = 1; id <= 100; id++) log.take(message(id, "x".repeat(50_000)), untrusted)
await log.store.savePosition(place(100))
console.log(JSON.stringify([kept().length, Math.min(...kept())]))
""")
    assert found == [40, 61]


def test_nobody_pushes_out_what_others_have_sent() -> None:
    found = run("""
const from = (person, id, text) => ({ ...message(id, text), sender: { type: "person", id: person } })
for (let id = 1; id <= 5; id++) log.take(from(9, id, "y"), untrusted)
for (let id = 6; id <= 600; id++) log.take(from(8, id, "x"), untrusted)
const many = [log.untrusted.size, ...[...log.untrusted.keys()].slice(0, 6)]
for (let id = 601; id <= 700; id++) log.take(from(10, id, "x".repeat(60_000)), untrusted)
await log.store.savePosition(place(700))
const of = (person) => [...log.untrusted.values()].filter(({ sender }) => sender.id === person).length
console.log(JSON.stringify([many, of(9), of(8), of(10), kept().length]))
""")
    many, small, older, large, stored = found
    assert many == [500, 1, 2, 3, 4, 5, 106]
    assert small == 5, "who sent little keeps it all"
    assert 250 <= older < 495, "many small ones and few large ones take the same share"
    assert 1 <= large <= 33
    assert stored == small + older + large


def test_what_is_opened_is_stored_in_the_step_in_which_it_is_no_longer_kept() -> None:
    found = run("""
log.take(message(1, "x"), untrusted)
await log.store.savePosition(place(1))
await log.reopened(log.untrusted.get(1), { text: "hello", problem: null })
console.log(JSON.stringify([kept(), log.untrusted.size, [...store("rows").values()].map(({ text }) => text)]))
""")
    assert found == [[], 0, ["hello"]]


def test_what_another_window_has_opened_stays_open() -> None:
    found = run("""
log.take(message(1, "x"), untrusted)
await log.store.savePosition(place(1))
store("rows").set("person:8,1", { ...store("rows").get("person:8,1"), text: "hello", problem: null })
await log.reopened(log.untrusted.get(1), { text: null, problem: "repeated" })
const [row] = store("rows").values()
console.log(JSON.stringify([row.text, log.conversations.get("person:8").last.text, kept()]))
""")
    assert found == ["hello", "hello", []]


READ_MARKS = """
const seen = () => {
  const { unread, readId, lastOther, closedId } = log.conversations.get("person:8")
  return [unread, readId, lastOther?.id ?? null, closedId]
}
"""


def test_what_can_not_be_opened_is_not_read_when_it_is_looked_at() -> None:
    found = run(f"""{READ_MARKS}
const found = []
log.take(message(1, "x"), {{ text: "hello", problem: null }})
log.take(message(2, "x"), untrusted)
found.push(seen())
log.look("person:8", 2)
log.read("person:8", 1)
found.push(seen())
await log.reopened(log.untrusted.get(2), {{ text: "hello again", problem: null }})
found.push(seen())
console.log(JSON.stringify(found))
""")
    assert found == [[1, 0, 1, 2], [0, 1, 1, 0], [1, 1, 2, 0]]


def test_what_can_never_be_opened_is_not_counted() -> None:
    found = run(f"""{READ_MARKS}
log.take(message(1, "x"), untrusted)
await log.reopened(log.untrusted.get(1), {{ text: null, problem: "repeated" }})
console.log(JSON.stringify(seen()))
""")
    assert found == [0, 0, None, 1]


def test_a_reaction_that_is_taken_while_its_conversation_is_being_read_is_shown() -> None:
    found = run("""
let answer
database.newest = () => new Promise((resolve) => (answer = () => resolve([...store("rows").values()])))
const about = { type: "chat_reaction_emoji", messageId: "m1" }
const reaction = (id, text) => [{ ...message(id, text), ...about }, { text, problem: null }]
log.take(message(1, "x"), { text: "hello", problem: null })
await log.store.savePosition(place(1))
log.take(...reaction(2, "a"))
const history = log.history("person:8")
const stored = [...store("rows").values()]
log.take(...reaction(3, "b"))
await log.store.savePosition(place(3))
answer()
await history.opened
console.log(JSON.stringify([stored.length, history.byMessage("m1").reactions.map(({ id, emoji }) => [id, emoji])]))
""")
    assert found == [1, [[3, "b"]]]
