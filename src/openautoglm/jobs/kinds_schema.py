"""The JSON schemas of files of the kinds `Job` and `Schedule`, made from the structs they become.

For editors and for whoever writes YAML by machine; reading a file checks more and says it better.
Knows nothing of files.
"""

from __future__ import annotations

import inspect
import re
from typing import Final, cast

import msgspec
import msgspec.inspect

from openautoglm.jobs.documents import API_VERSION
from openautoglm.jobs.schedules.schedule import Schedule
from openautoglm.jobs.spec import JobSpec

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
ATTRIBUTE: Final = re.compile(r"^ {4}(?P<name>\w+): (?P<text>.*(?:\n {8}.*)*)", re.MULTILINE)
WORKS: Final = ("pipeline", "template", "prompt", "function")
WHENS: Final = ("cron", "every", "at")
REF: Final = {
    "type": "object",
    "properties": {"ref": {"type": "string", "description": "a job in the same file"}},
    "required": ["ref"],
    "additionalProperties": False,
}

Schema = dict[str, object]


def job_schema() -> Schema:
    """Return the schema (2020-12) of a document of the kind `Job`.

    Example:
        >>> job_schema()["required"]
        ['apiVersion', 'kind', 'metadata', 'spec']
    """
    return _envelope("Job", _components(JobSpec))


def schedule_schema() -> Schema:
    """Return the schema (2020-12) of a document of the kind `Schedule`.

    Example:
        >>> schedule_schema()["title"]
        'Open-AutoGLM Schedule'
    """
    found = _components(Schedule)
    schedule = cast("Schema", found["Schedule"])
    properties = cast("Schema", schedule["properties"])
    properties["job"] = {"oneOf": [{"$ref": "#/$defs/JobSpec"}, REF]}
    schedule["required"] = ["job"]
    schedule["oneOf"] = [{"required": [name]} for name in WHENS]
    return _envelope("Schedule", found)


def _components(kind: type[msgspec.Struct]) -> Schema:
    """Return the schemas of a struct and all in it, as files hold them."""
    _, found = msgspec.json.schema_components(
        [kind], ref_template="#/$defs/{name}", schema_hook=_anything
    )
    definitions = msgspec.json.decode(msgspec.json.encode(found))  # defaults may be tuples
    for each in _structs(kind):
        _describe(definitions[each.__name__], each)
    if "JobSpec" in definitions:
        _loosen(definitions["JobSpec"])
    definitions[kind.__name__]["properties"].pop("name", None)
    return cast("Schema", definitions)


def _anything(kind: type) -> Schema:
    if kind is object:
        return {"description": "any value"}  # an empty schema counts as none
    raise NotImplementedError


def _structs(kind: type[msgspec.Struct]) -> list[type[msgspec.Struct]]:
    found = cast("msgspec.inspect.StructType", msgspec.inspect.type_info(kind))
    inner = [
        each.cls
        for field in found.fields
        for each in getattr(field.type, "types", (field.type,))
        if isinstance(each, msgspec.inspect.StructType)
    ]
    return [kind, *(below for each in inner for below in _structs(each))]


def _describe(schema: Schema, kind: type[msgspec.Struct]) -> None:
    """Take descriptions from the docstring: its first line, and what it says of each attribute."""
    text = inspect.cleandoc(kind.__doc__ or "")
    schema["description"] = text.partition("\n")[0]
    properties = cast("dict[str, Schema]", schema["properties"])
    for found in ATTRIBUTE.finditer(text):
        if found["name"] in properties:
            properties[found["name"]]["description"] = " ".join(found["text"].split())


def _loosen(job: Schema) -> None:
    """Let a pipeline stand in the file, drop what is no field of it, ask for one thing to do."""
    properties = cast("dict[str, Schema]", job["properties"])
    for made in ("name", "prompts"):
        properties.pop(made, None)
    text = properties["pipeline"].pop("anyOf")
    properties["pipeline"]["anyOf"] = [*cast("list[Schema]", text), {"type": "object"}]
    job["oneOf"] = [{"required": [name]} for name in WORKS]


def _envelope(kind: str, definitions: Schema) -> Schema:
    spec = "JobSpec" if kind == "Job" else kind
    name = {"type": "string", "minLength": 1}
    properties: Schema = {
        "apiVersion": {"const": API_VERSION},
        "kind": {"const": kind},
        "metadata": _exactly(name=name),
        "spec": {"$ref": f"#/$defs/{spec}"},
    }
    return {
        "$schema": DIALECT,
        "title": f"Open-AutoGLM {kind}",
        **_exactly(**properties),
        "$defs": definitions,
    }


def _exactly(**properties: object) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


if __name__ == "__main__":
    import json
    import sys

    schema = {"job": job_schema, "schedule": schedule_schema}[sys.argv[1]]()
    sys.stdout.write(json.dumps(schema, indent=2, ensure_ascii=False) + "\n")
