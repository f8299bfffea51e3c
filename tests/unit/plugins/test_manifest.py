"""What a plugin says of itself is read whole, or refused with file, key and fix."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openautoglm.errors import PluginManifestError
from openautoglm.plugins.manifest import (
    MAX_PROVIDES,
    Limits,
    Manifest,
    Provides,
    json_schema,
    normalised,
)
from openautoglm.plugins.reading import MAX_BYTES

COMMITTED = Path(__file__).parents[3] / "spec/plugin.schema.json"
PROJECT = """
[project]
name = "Acme.Upper"
version = "1.0.0rc1"
description = "Capitals"
requires-python = ">=3.11"
dependencies = ["idna>=3"]

[tool.openautoglm.plugin]
schema = 1
id = "acme.upper"
host-api = ">=1.0,<2"
permissions = ["emit:acme.*", "call:model.generate"]
peers = {numpy = ">=2"}
limits = {memory-mb = 256, call-timeout-s = 2.5}

[[tool.openautoglm.plugin.provides]]
point = "step"
contract = 1
name = "acme.upper"
object = "acme_upper.step:Upper"
idempotent = true
"""
WHOLE = Manifest(
    id="acme.upper",
    name="Acme.Upper",
    version="1.0.0rc1",
    summary="Capitals",
    package="acme_upper",
    host_api=">=1.0,<2",
    permissions=("emit:acme.*", "call:model.generate"),
    peers={"numpy": ">=2"},
    limits=Limits(memory_mb=256, call_timeout_s=2.5),
    dependencies=("idna>=3",),
    requires_python=">=3.11",
    provides=(
        Provides(
            point="step",
            contract=1,
            name="acme.upper",
            object="acme_upper.step:Upper",
            idempotent=True,
        ),
    ),
)


def project(tmp_path: Path, text: str = PROJECT) -> Path:
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
    return tmp_path


def plain() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(WHOLE.to_json())
    return read


def refusal(changed: object) -> PluginManifestError:
    with pytest.raises(PluginManifestError) as refused:
        Manifest.from_json(json.dumps(changed).encode())
    assert str(refused.value).isprintable() or "\n" in str(refused.value)
    return refused.value


def test_a_project_says_what_the_manifest_holds(tmp_path: Path) -> None:
    assert Manifest.from_project(project(tmp_path)) == WHOLE
    assert Manifest.from_project(tmp_path / "pyproject.toml") == WHOLE


def test_the_json_is_canonical_and_reads_back() -> None:
    assert Manifest.from_json(WHOLE.to_json()) == WHOLE
    reordered = json.dumps(dict(reversed(plain().items())), indent=2).encode()
    assert Manifest.from_json(reordered).to_json() == WHOLE.to_json()
    assert Manifest.from_json(reordered).digest == WHOLE.digest
    assert b": " not in WHOLE.to_json()


def test_the_schema_in_spec_is_the_manifests_and_accepts_it() -> None:
    committed = json.loads(COMMITTED.read_text(encoding="utf-8"))
    assert committed == json_schema(), (
        "run: python -m openautoglm.plugins.manifest > spec/plugin.schema.json"
    )
    jsonschema.Draft202012Validator.check_schema(committed)
    jsonschema.validate(plain(), committed)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("id", "../../etc"),
        ("id", "Acme"),
        ("id", "acme..upper"),
        ("id", "acme.upper\n"),
        ("id", "acme/upper"),
        ("id", "аcme"),
        ("id", ""),
        ("id", "a" * 101),
        ("id", 3),
        ("name", "-x"),
        ("name", "../x"),
        ("version", "one"),
        ("version", "1.0/../.."),
        ("package", "a.b"),
        ("package", "../a"),
        ("isolation", "L9"),
        ("permissions", ["emit"]),
        ("permissions", ["write:acme.*"]),
        ("permissions", "emit:acme.*"),
        ("peers", {"../numpy": ">=2"}),
        ("peers", ["numpy"]),
        ("limits", {"memory-mb": -1}),
        ("limits", {"memory-mb": 10**30}),
        ("limits", {"call-timeout-s": 0}),
        ("provides", []),
        ("provides", {}),
        ("schema", 2),
        ("dependencies", "numpy"),
        ("summary", None),
    ],
)
def test_a_wrong_value_is_refused_by_key_by_us_and_by_the_schema(key: str, value: object) -> None:
    changed = {**plain(), key: value}
    error = refusal(changed)
    assert f"`$.{key}" in error.problem
    assert error.fix
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(changed, json_schema())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("object", "os:system"),
        ("object", "acme_upper.step"),
        ("object", "acme_upper:__import__('os')"),
        ("object", "acme_upper..x:y"),
        ("sources", "../native"),
        ("sources", "/native"),
        ("sources", "native/.."),
        ("sources", "a/./b"),
        ("sources", "a\\b"),
        ("module", "x.so"),
        ("point", "Step"),
        ("name", "a b"),
        ("name", "../x"),
        ("contract", 0),
        ("contract", "1"),
        ("state", "yes"),
    ],
)
def test_a_wrong_contribution_is_refused(key: str, value: object) -> None:
    changed = plain()
    if key in {"sources", "module"}:
        del changed["provides"][0]["object"]
    changed["provides"][0][key] = value
    error = refusal(changed)
    assert error.fix


def test_a_contribution_is_exactly_one_thing() -> None:
    changed = plain()
    changed["provides"][0]["sources"] = "native"
    assert "object and sources" in str(refusal(changed))
    del changed["provides"][0]["object"], changed["provides"][0]["sources"]
    assert "none of them" in str(refusal(changed))


def test_two_contributions_of_one_name_are_refused() -> None:
    changed = plain()
    changed["provides"] *= 2
    assert "step `acme.upper`" in refusal(changed).problem


def test_an_unknown_key_is_told_with_the_near_one(tmp_path: Path) -> None:
    error = refusal({**plain(), "permission": []})
    assert error.fix == "did you mean `permissions`?"
    changed = plain()
    changed["provides"][0]["objekt"] = "x"
    assert refusal(changed).fix == "did you mean `object`?"
    changed = plain()
    changed["limits"]["memory"] = 1
    assert refusal(changed).fix == "did you mean `memory-mb`?"
    text = PROJECT.replace("host-api", "host_api")
    with pytest.raises(PluginManifestError, match=r"unknown key `host_api`") as refused:
        Manifest.from_project(project(tmp_path, text))
    assert refused.value.fix == "did you mean `host-api`?"
    assert str(tmp_path) in refused.value.problem


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ('id = "acme.upper"', "", "lacks the key `id`"),
        ('version = "1.0.0rc1"', "", "lacks the key `version`"),
        ('version = "1.0.0rc1"', 'dynamic = ["version"]', "it is dynamic"),
        ('version = "1.0.0rc1"', 'version = "new"', "`project.version` is no version"),
        ("tool.openautoglm.", "tool.other.", "no table"),
        ("[project]", "[projects]", "no table `[project]`"),
        ('id = "acme.upper"', 'id = "acme.upper"\nname = "x"', "said twice"),
        ('object = "acme_upper.step:Upper"', 'object = "numpy:sum"', "not in the plugin's package"),
        ("schema = 1", "schema = 1\nschema = 1", "is not TOML"),
        ('description = "Capitals"', "description = 3", "tool.openautoglm.plugin.summary"),
        ('point = "step"', "point = [1]", "provides[0].point"),
    ],
)
def test_a_wrong_project_is_refused_with_its_file(
    tmp_path: Path, before: str, after: str, told: str
) -> None:
    with pytest.raises(PluginManifestError) as refused:
        Manifest.from_project(project(tmp_path, PROJECT.replace(before, after)))
    assert told in str(refused.value)
    assert "pyproject.toml" in refused.value.problem
    assert refused.value.fix


@pytest.mark.parametrize(
    "data",
    [b"", b"null", b"[]", b'"x"', b"{", b"\xff\xfe", b"[" * 100_000, b" " * (MAX_BYTES + 1)],
    ids=["empty", "null", "list", "text", "open", "no-utf-8", "deep", "huge"],
)
def test_what_is_no_manifest_at_all_is_refused(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(PluginManifestError):
        Manifest.from_json(data)
    (tmp_path / "pyproject.toml").write_bytes(data)
    with pytest.raises(PluginManifestError):
        Manifest.from_project(tmp_path)


def test_a_project_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none", Path("a\0b")):
        with pytest.raises(PluginManifestError, match="cannot be read"):
            Manifest.from_project(path)


def test_more_contributions_than_the_limit_are_refused() -> None:
    changed = plain()
    one = changed["provides"][0]
    changed["provides"] = [{**one, "name": f"acme.n{n}"} for n in range(MAX_PROVIDES + 1)]
    assert "provides" in refusal(changed).problem


@pytest.mark.parametrize(
    ("point", "thing", "level"),
    [
        ("step", {"object": "acme_upper.step:Upper"}, "L2"),
        ("operator", {"object": "acme_upper.step:Upper"}, "L0"),
        ("kernel", {"sources": "native"}, "L0"),
        ("step", {"module": "upper.wasm"}, "L3"),
    ],
)
def test_auto_asks_for_the_level_that_fits(point: str, thing: dict[str, str], level: str) -> None:
    changed = plain()
    changed["provides"] = [{"point": point, "contract": 1, "name": "acme.upper", **thing}]
    assert Manifest.from_json(json.dumps(changed).encode()).level == level
    stated = Manifest.from_json(json.dumps({**changed, "isolation": "L1"}).encode())
    assert stated.level == "L1"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(key=st.sampled_from(sorted(plain())), value=JSON)
def test_any_value_under_any_key_is_read_or_refused_never_a_crash(key: str, value: object) -> None:
    try:
        read = Manifest.from_json(json.dumps({**plain(), key: value}).encode())
    except PluginManifestError:
        return
    assert Manifest.from_json(read.to_json()) == read
    jsonschema.validate(json.loads(read.to_json()), json_schema())


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_with_our_error(data: bytes) -> None:
    with pytest.raises(PluginManifestError):
        Manifest.from_json(data)


def test_names_are_compared_as_pip_compares_them() -> None:
    assert normalised("Acme._-Upper") == normalised("acme-upper")
