"""What callers of the privacy line hear, by line and service code; the example in the documentation included."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from protocol.call_texts import MAX_TEXT_CHARACTERS, TEXTS, CallTexts, CallTextsError, Texts, read_call_texts, shipped
from server.config.call_texts import MAX_FILE_BYTES, load_call_texts
from server.config.settings_sources import SettingsError

LINE, OTHER_LINE = "+18005550199", "+18005550100"
PAGE = Path(__file__).parents[3] / "docs" / "privacy-requests.md"
FRENCH = "\n".join(f'{name} = "{name} en français"' for name in TEXTS)


def buzz_texts(primary: str) -> Texts:
    return Texts(voice="", **shipped()[primary])


def test_english_and_spanish_are_shipped_whole() -> None:
    assert set(shipped()) == {"en", "es"}
    for section in shipped().values():
        assert set(section) == {"language", *TEXTS}
        assert all(0 < len(text) <= MAX_TEXT_CHARACTERS for text in section.values())
    assert CallTexts({}, {}, {}).of(LINE, "57") == buzz_texts("en")
    assert read_call_texts("").of("", "") == buzz_texts("en")


def test_a_code_outweighs_a_line_and_a_line_the_default() -> None:
    texts = read_call_texts(
        f'''
        [default]
        voice = "alice"
        speak = "default speak"
        thanks = "default thanks"
        again = "default again"
        [lines."{LINE}"]
        speak = "line speak"
        thanks = "line thanks"
        [codes."57"]
        speak = "code speak"
        '''
    )
    default = replace(
        buzz_texts("en"), voice="alice", speak="default speak", thanks="default thanks", again="default again"
    )
    line = replace(default, speak="line speak", thanks="line thanks")
    assert texts.of(OTHER_LINE, "9") == default
    assert texts.of(LINE) == line
    assert texts.of(LINE, "57") == replace(line, speak="code speak")
    assert texts.of(OTHER_LINE, "57") == replace(default, speak="code speak")
    assert texts.of("sip:line@example.com", "") == default


def test_no_text_is_said_in_another_language_than_its_own() -> None:
    texts = read_call_texts(
        f'''
        [default]
        voice = "Polly.Joanna"
        thanks = "English thanks"
        [lines."{LINE}"]
        language = "es-US"
        speak = "Hable"
        voice = "Polly.Lupe"
        [codes."1"]
        language = "en-GB"
        [codes."2"]
        language = "es-ES"
        [codes."3"]
        language = "fr-CA"
        {FRENCH}
        '''
    )
    spanish = replace(buzz_texts("es"), language="es-US", voice="Polly.Lupe", speak="Hable")
    assert texts.of(LINE) == spanish
    assert texts.of(LINE, "1") == replace(buzz_texts("en"), language="en-GB"), "nothing of the Spanish line"
    assert texts.of(LINE, "2") == replace(spanish, language="es-ES", voice=""), "the same texts, not the same voice"
    french = {name: f"{name} en français" for name in TEXTS}
    assert texts.of(LINE, "3") == Texts("fr-CA", "", **french)
    assert texts.of(OTHER_LINE, "1") == replace(buzz_texts("en"), language="en-GB", thanks="English thanks")


def test_the_example_of_the_documentation() -> None:
    (example,) = re.findall("```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    texts = read_call_texts(example)
    assert texts.of(OTHER_LINE).greeting.startswith("Welcome to the privacy line of the Acme group.")
    assert asdict(texts.of(LINE)) == {**asdict(buzz_texts("es")), "voice": "Polly.Mia-Neural"}
    assert texts.of(OTHER_LINE, "57").thanks == "Thank you. Acme will answer within 45 days. Goodbye."
    assert texts.of(LINE, "57").language == "es-MX"
    for line in (LINE, OTHER_LINE):
        code_58 = texts.of(line, "58")
        assert (code_58.language, code_58.voice, code_58.thanks) == ("es-US", "", shipped()["es"]["thanks"])
        assert code_58.speak.endswith("qué desea que haga Acme.")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("greeting = 'x'", "no table 'greeting'"),
        ("default = 1", "default should be a table"),
        ("lines = 'x'", "lines should be a table of tables"),
        ("[default]\nhello = 'x'", "default: there is no 'hello'"),
        ("[default]\nspeak = 5", "default.speak should be a text"),
        ("[default]\nspeak = ' '", "default.speak should not be empty"),
        (f"[default]\nspeak = '{'x' * 4_097}'", "default.speak has 4097 characters"),
        ('[default]\nspeak = "\\u0001"', "default.speak has a control character"),
        ("[default]\nlanguage = 'Spanish'", "default.language should be a language like"),
        ("[default]\nlanguage = 'es-mx'", "default.language should be a language like"),
        ("[default]\nvoice = 'Polly Mia'", "default.voice should be the name of a voice"),
        ("[lines.'8005550100']\nspeak = 'x'", 'lines."8005550100" should be a number like'),
        ("[codes.acme]\nspeak = 'x'", 'codes."acme" should be a code of digits'),
        ("[codes]\n57 = 'x'", 'codes."57" should be a table'),
        ("[codes.57]\nlanguage = 'fr'\nspeak = 'x'", "it needs greeting, again, unknown, goodbye, thanks as well"),
        ("[default", "is not valid TOML"),
    ],
)
def test_a_mistake_is_said_in_one_line_that_names_the_key(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(CallTextsError) as raised:
        read_call_texts(text)
    assert said in str(raised.value)
    path = tmp_path / "texts.toml"
    path.write_text(text)
    with pytest.raises(SettingsError) as refused:
        load_call_texts(path)
    assert str(refused.value).startswith(f"BUZZ_CALL_TEXTS: {path}: ")
    assert "\n" not in str(refused.value)


def test_a_text_of_the_longest_length_is_taken() -> None:
    assert (
        read_call_texts(f"[default]\nspeak = '{'é' * MAX_TEXT_CHARACTERS}'").of(LINE).speak == "é" * MAX_TEXT_CHARACTERS
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "can't be read"), (b"\xff", "is not UTF-8"), (b"#" * (MAX_FILE_BYTES + 1), "is larger than")],
)
def test_a_file_that_can_not_be_used(content: bytes | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "texts.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=said):
        load_call_texts(path)
