"""PromptStore: nothing saved is lost, nothing edited behind it passes for what was saved."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openautoglm.errors import OpenAutoGLMError, PromptNotFoundError, PromptStoreError
from openautoglm.prompts.prompt_file import read
from openautoglm.prompts.prompt_yaml import written
from openautoglm.prompts.store import PromptStore
from openautoglm.prompts.template import PromptTemplate, escape
from openautoglm.prompts.version import PromptFile, PromptVersion, content_hash

if TYPE_CHECKING:
    from collections.abc import Callable

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> PromptStore:
    return PromptStore(tmp_path, clock=lambda: NOON)


def text(content: str) -> PromptTemplate[str]:
    return PromptTemplate(content, [name for name in ("a", "b") if f"{{{name}}}" in content])


def edit(folder: Path, old: str, new: str) -> None:
    path = folder / "ask.yaml"
    before = path.read_text(encoding="utf-8")
    assert old in before
    path.write_text(before.replace(old, new, 1), encoding="utf-8")


def test_a_file_reads_well(store: PromptStore, tmp_path: Path) -> None:
    store.save("ask", text("第一行\n  {a} # 不是注释\n"), message="first")
    chat = [{"role": "system", "content": "一\n二"}, {"role": "user", "content": "{b}"}]
    store.save("ask", PromptTemplate(chat, ["b"]), message="to a chat")
    store.alias("ask", "production", 1)
    lines = (tmp_path / "ask.yaml").read_text(encoding="utf-8").splitlines()
    hashes = [version.sha256 for version in store.versions("ask")]
    assert [line for line in lines if not line.startswith("#")] == [
        "schema: 1",
        "aliases:",
        "  production: 1",
        "versions:",
        "- number: 1",
        '  created: "2026-11-23T12:00:00Z"',
        "  message: first",
        f'  sha256: "{hashes[0]}"',
        "  input_variables: [a]",
        "  template: |",
        "    第一行",
        "      {a} # 不是注释",
        "- number: 2",
        '  created: "2026-11-23T12:00:00Z"',
        '  message: "to a chat"',
        f'  sha256: "{hashes[1]}"',
        "  input_variables: [b]",
        "  template:",
        "  - role: system",
        "    content: |-",
        "      一",
        "      二",
        "  - role: user",
        '    content: "{b}"',
    ]


def test_versions_are_asked_for_by_number_alias_and_not_at_all(store: PromptStore) -> None:
    for content in ("one {a}", "two {a}", "three {a}"):
        assert store.save("ask", text(content)).is_new
    store.alias("ask", "production", 2)
    asked = {s: store.get(s).format(a="x") for s in ("ask", "ask@1", "ask@production")}
    assert asked == {"ask": "three x", "ask@1": "one x", "ask@production": "two x"}
    assert store.get("ask@latest") == store.get("ask@3")
    store.alias("ask", "staging", "production")
    store.alias("ask", "production", "latest")
    assert store.aliases("ask") == {"production": 3, "staging": 2}
    store.unalias("ask", "staging")
    assert store.aliases("ask") == {"production": 3}
    assert [version.number for version in store.versions("ask")] == [1, 2, 3]
    assert store.names() == ("ask",)


def test_the_content_of_the_latest_version_is_not_saved_twice(store: PromptStore) -> None:
    assert str(store.save("ask", text("{a}"), message="m")) == "saved ask@1"
    again = store.save("ask", text("{a}"), message="other words")
    assert not again.is_new
    assert str(again) == "nothing to save: ask@1 has this content"
    store.save("ask", text("{b}"))
    assert store.save("ask", text("{a}")).version.number == 3


def test_a_version_keeps_its_time_and_words(tmp_path: Path) -> None:
    zone = timezone(timedelta(hours=8))
    clock = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=zone)
    PromptStore(tmp_path, clock=lambda: clock).save(
        "ask", text("{a}"), message="为什么: #1 🎈\n\n二"
    )
    version = PromptStore(tmp_path).version("ask")
    assert version.created == datetime(2026, 1, 1, 19, 4, 5, tzinfo=UTC)
    assert version.message == "为什么: #1 🎈\n\n二"
    with pytest.raises(PromptStoreError, match="time zone"):
        PromptStore(tmp_path, clock=lambda: NOON.replace(tzinfo=None)).save("ask", text("{b}"))


ODD = st.text(
    alphabet=" \t\n\r\x00\x07\x1b\x7f\x85\xa0\u2028\u2029\ufeff\ud7ff#:-|>'\"\\&*!%@`a甲🎈"
)


@given(st.lists(ODD | st.text(), min_size=1, max_size=3), ODD | st.text())
def test_every_text_is_read_as_it_was_written(contents: list[str], message: str) -> None:
    templates: list[PromptTemplate] = []
    for content in contents:
        templates.append(PromptTemplate(escape(content), []))
        templates.append(PromptTemplate([{"role": "user", "content": escape(content)}], []))
    versions = tuple(
        PromptVersion(
            number=number,
            created=NOON,
            message=message,
            sha256=content_hash(template),
            template=template,
        )
        for number, template in enumerate(templates, start=1)
    )
    file = PromptFile(versions=versions, aliases={"production": 1})
    assert read(written(file), path="ask.yaml") == file


@pytest.mark.parametrize(
    "content", ["\ttab", "a\r\nb", "a\x85b\n", "  lead\n\n\n", "🎈\n", "\n", "\x00\x1b", " \n a \n"]
)
def test_an_odd_text_comes_back_from_the_store(store: PromptStore, content: str) -> None:
    store.save("ask", PromptTemplate(content, []), message=content)
    assert store.get("ask").format() == content
    assert store.version("ask").message == content


def test_half_a_character_is_refused_and_nothing_is_written(
    store: PromptStore, tmp_path: Path
) -> None:
    for template in (text("a\ud800"), PromptTemplate([{"role": "user", "content": "\udc00"}], [])):
        with pytest.raises(PromptStoreError, match="half of a character"):
            store.save("ask", template)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("selector", "says"),
    [
        ("summery", "did you mean `summary`?"),
        ("summary@prodction", "did you mean `summary@production`?"),
        ("summary@2", "use summary@1"),
        ("summary@0", "use summary@1"),
        ("summary@99999999999999999999", "use summary@1"),
        ("summary@", "use summary@1"),
        ("summary@²", "use summary@1"),
        ("../summary", "did you mean `summary`?"),
        ("", "check the name"),
    ],
)
def test_an_unknown_name_is_told_the_nearest(store: PromptStore, selector: str, says: str) -> None:
    store.save("summary", text("{a}"))
    store.alias("summary", "production", 1)
    with pytest.raises(PromptNotFoundError) as caught:
        store.get(selector)
    assert says in str(caught.value.fix)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../a", "a/b", "a\\b", "/a", "a.b", "a@1", "a\0", "A", "ａ", "con", "-a", "_",
     "a b", "甲" * 67, "~", "a\n"],
)  # fmt: skip
def test_a_name_that_is_no_file_everywhere_is_refused(
    store: PromptStore, tmp_path: Path, name: str
) -> None:
    with pytest.raises(PromptStoreError, match="cannot be called"):
        store.save(name, text("{a}"))
    assert list(tmp_path.iterdir()) == []


def test_a_chinese_name_is_a_name(store: PromptStore) -> None:
    store.save("摘要-2", text("{a}"))
    assert store.names() == ("摘要-2",)
    assert store.get("摘要-2@1") == text("{a}")


def test_arguments_that_are_not_what_they_should_be_are_named(
    store: PromptStore, tmp_path: Path
) -> None:
    wrong: Any = 7
    calls: dict[str, Callable[[], object]] = {
        "the template of prompt `ask`": lambda: store.save("ask", wrong),
        "the message of prompt `ask`": lambda: store.save("ask", text("{a}"), message=wrong),
        "cannot be called `7`": lambda: store.save(wrong, text("{a}")),
        "`7` cannot be an alias": lambda: store.alias("ask", wrong, 1),
        "no prompt is called `7`": lambda: store.versions(wrong),
        "asked for by a text": lambda: store.get(wrong),
    }
    for says, call in calls.items():
        with pytest.raises((PromptStoreError, PromptNotFoundError), match=says) as caught:
            call()
        assert caught.value.fix
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("alias", ["", "3", "latest", "a b", "a@b", "Prod", "x:y"])
def test_an_alias_that_could_mean_something_else_is_refused(store: PromptStore, alias: str) -> None:
    store.save("ask", text("{a}"))
    with pytest.raises(PromptStoreError, match="cannot be an alias"):
        store.alias("ask", alias, 1)


def test_an_alias_needs_a_version_and_removing_one_needs_an_alias(store: PromptStore) -> None:
    store.save("ask", text("{a}"))
    with pytest.raises(PromptNotFoundError, match="no version or alias `2`"):
        store.alias("ask", "production", 2)
    with pytest.raises(PromptNotFoundError, match="no version or alias `production`"):
        store.unalias("ask", "production")
    with pytest.raises(PromptNotFoundError, match="no prompt"):
        store.alias("other", "production", 1)


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("two {a}", "TWO {a}", 16, "version 2 was edited after it was saved"),
        ("two {a}", "two {", 16, "the template is faulty: line 1, column 5: a lone `{`"),
        ("[a]", "[a, b]", 10, "the template is faulty: variable `b` is declared"),
        ("number: 2", "number: 3", 11, "version 3 where version 2 must be"),
        ("number: 2", "number: two", 11, "a whole number must be here"),
        ("number: 2", "number: 0x2", 11, "a whole number must be here"),
        ("message: first", "mesage: first", 7, "unknown key `mesage`"),
        ("message: first", "message: 7", 7, "a text must be here"),
        ("message: first", "message: first\n  message: again", 8, "`message` is given twice"),
        ("  message: first\n", "", 5, "`message` is missing"),
        ("12:00:00Z", "noon", 6, "is no date"),
        ("[a]", "a", 9, "a list of names must be here"),
        ("schema: 1", "schema: 2", 3, "schema 2 is not known"),
        ("schema: 1", "schema: 1\naliases: {production: 9}", 4, "leads to version 9"),
        ("schema: 1", "schema: 1\naliases: 9", 4, "keys and values must be here"),
        ("schema: 1", "schema: [1", 4, "not YAML"),
        ("schema: 1", "schema: *nobody", 3, "not YAML"),
    ],
)
def test_a_fault_in_a_file_is_named_with_its_line(
    store: PromptStore, tmp_path: Path, old: str, new: str, line: int, says: str
) -> None:
    store.save("ask", text("one {a}"), message="first")
    store.save("ask", text("two {a}"))
    edit(tmp_path, old, new)
    before = (tmp_path / "ask.yaml").read_bytes()
    with pytest.raises(PromptStoreError) as caught:
        store.get("ask@1")
    assert says in caught.value.problem
    assert f"ask.yaml, line {line}: " in caught.value.problem
    assert caught.value.fix
    with pytest.raises(PromptStoreError):
        store.save("ask", text("three {a}"))
    assert (tmp_path / "ask.yaml").read_bytes() == before


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"# only a comment\n",
        b"\xff\xfe",
        b"- a",
        b"\x00",
        b"a: " + b"[" * 2000,
        b"--- a\n--- b",
    ],
)
def test_a_file_that_is_no_prompt_file_is_refused(
    store: PromptStore, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "ask.yaml").write_bytes(content)
    with pytest.raises(PromptStoreError, match=r"ask\.yaml"):
        store.get("ask")


@settings(deadline=None)
@given(st.data())
def test_a_damaged_file_is_an_error_or_the_same_prompt(data: st.DataObject) -> None:
    template: PromptTemplate = PromptTemplate("one {a}\n", ["a"])
    version = PromptVersion(
        number=1, created=NOON, message="m", sha256=content_hash(template), template=template
    )
    whole = written(PromptFile(versions=(version,), aliases={}))
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = whole[:at] + data.draw(st.text(max_size=2)) + whole[at + 1 :]
    try:
        file = read(damaged, path="ask.yaml")
    except OpenAutoGLMError:
        return
    assert [found.template for found in file.versions] == [template]


def test_a_diff_names_both_versions_and_what_changed(store: PromptStore) -> None:
    store.save("ask", text("same\n{a}"))
    store.save("ask", text("same\n{b}"))
    store.alias("ask", "production", 1)
    assert store.diff("ask", "production", 2).splitlines() == [
        "--- ask@1",
        "+++ ask@2",
        "@@ -1,3 +1,3 @@",
        "-input_variables: a",
        "+input_variables: b",
        " same",
        "-{a}",
        "+{b}",
    ]
    assert store.diff("ask", 2, "latest") == ""


def test_a_diff_of_chats_names_the_roles(store: PromptStore) -> None:
    for words in ("one", "two"):
        store.save("ask", PromptTemplate([{"role": "system", "content": words}], []))
    assert " [system]\n-one\n+two" in store.diff("ask", 1, 2)


def test_a_folder_that_is_not_there_holds_nothing_until_the_first_save(tmp_path: Path) -> None:
    store = PromptStore(tmp_path / "deep" / "prompts")
    assert store.names() == ()
    for change in (
        lambda: store.get("ask"),
        lambda: store.alias("ask", "production", 1),
        lambda: store.unalias("ask", "production"),
    ):
        with pytest.raises(PromptNotFoundError):
            change()
    assert not (tmp_path / "deep").exists()
    store.save("ask", text("{a}"))
    assert store.names() == ("ask",)


def test_a_folder_that_cannot_be_looked_into_is_named(tmp_path: Path) -> None:
    store = PromptStore(tmp_path / ("n" * 300))
    assert store.names() == ()
    with pytest.raises(PromptStoreError, match=r"cannot be looked into") as caught:
        store.get("ask")
    assert "nnn" in str(caught.value.got)
    assert caught.value.fix


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(PromptStoreError, match="cannot be made"):
        PromptStore(tmp_path / "file").save("ask", text("{a}"))


def test_the_prompts_of_this_repository_are_whole() -> None:
    store = PromptStore(Path(__file__).parents[3] / "prompts")
    assert store.names()
    for name in store.names():
        assert store.versions(name)
        assert store.version(f"{name}@production").number
