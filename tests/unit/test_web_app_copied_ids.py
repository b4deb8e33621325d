"""A message is known by its conversation and its id: others may use the same id in another one."""

from __future__ import annotations

from tests.fakes.web_app_log import run

# Jane (7) has a message of John's (8); Max (9) has learned its id and uses it.
SCENE = """
const about = (id, type, from, to, emoji) => ({ ...message(id, emoji), type, messageId: "m1",
  sender: { type: "person", id: from }, receiver: { type: "person", id: to } })
const opened = (text) => ({ text, problem: null })
log.take(message(1, "hello"), opened("hello"))
log.take(about(2, "chat_message", 9, 7), opened("mine has the same id"))
await log.store.savePosition(place(2))
const reactions = (key) => store("rows").get(key).reactions.map(({ by, emoji }) => [by, emoji])
"""


def test_a_reaction_belongs_to_the_message_of_its_own_conversation() -> None:
    found = run(f"""{SCENE}
log.take(about(3, "chat_reaction_emoji", 9, 7), opened("👎"))
log.take(about(4, "chat_reaction_emoji", 8, 7), opened("👍"))
await log.store.savePosition(place(4))
console.log(JSON.stringify([reactions("person:8,1"), reactions("person:9,2")]))
""")
    assert found == [[["person:8", "👍"]], [["person:9", "👎"]]]


def test_a_reaction_to_a_message_of_another_conversation_is_dropped() -> None:
    found = run("""
log.take(message(1, "hello"), { text: "hello", problem: null })
log.take({ ...message(2, "x"), type: "chat_reaction_emoji", messageId: "m1", sender: { type: "person", id: 9 } },
  { text: "👎", problem: null })
await log.store.savePosition(place(2))
console.log(JSON.stringify(store("rows").get("person:8,1").reactions))
""")
    assert found == []


def test_a_read_mark_counts_for_its_own_conversation() -> None:
    found = run("""
const to = (person, id, messageId = `m${id}`) => ({ ...message(id, "x"), messageId, sender: { type: "person", id: 7 },
  receiver: { type: "person", id: person } })
const opened = { text: "x", problem: null }
log.take(to(9, 1), opened)
log.take(to(8, 2), opened)
log.take(to(9, 3), opened)
await log.store.savePosition(place(3))
log.take({ ...message(4, null), type: "chat_read_indicator", messageId: "m2", sender: { type: "person", id: 9 } },
  { text: null, problem: null })
await log.store.savePosition(place(4))
console.log(JSON.stringify([...log.conversations.values()].map(({ key, otherReadId }) => [key, otherReadId])))
""")
    assert found == [["person:9", 0], ["person:8", 0]]
