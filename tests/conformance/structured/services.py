"""Schemas of programs that talk: requests, tool calls, settings, packages, events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .parts import closed, listed, maybe, of, record, text, whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .parts import Schema


def api_payloads() -> Iterator[Schema]:
    for noun in ("user", "order", "ticket", "device", "invoice", "session", "webhook", "comment"):
        item = record(
            {
                "id": {"type": "string", "format": "uuid"},
                "kind": {"const": noun},
                "name": text(16, minLength=1),
                "tags": of(text(6), 2),
                "created_at": {"type": "string", "format": "date-time"},
                "score": {"type": "number", "minimum": 0, "maximum": 1},
            },
            ["id", "kind", "name"],
        )
        yield item
        yield closed({"data": of(item, 2), "next": maybe(text(8)), "total": whole(0, 99)})
        yield (
            closed(
                {
                    "jsonrpc": {"const": "2.0"},
                    "method": listed(f"{noun}.get", f"{noun}.put", f"{noun}.list"),
                    "params": {
                        "type": "object",
                        "additionalProperties": text(6),
                        "maxProperties": 2,
                    },
                    "id": {"type": ["integer", "string", "null"], "maxLength": 4, "maximum": 99},
                },
                ["jsonrpc", "method"],
            )
            if noun != "order"
            else closed({"ok": {"type": "boolean"}, noun: item})
        )


def tool_calls() -> Iterator[Schema]:
    tools: dict[str, Schema] = {
        "weather": {"city": text(10), "unit": listed("c", "f")},
        "search": {"query": text(20, minLength=3), "limit": whole(1, 50)},
        "mail": {"to": of({"type": "string", "format": "email"}, 2, minItems=1), "body": text(20)},
        "calendar": {"day": {"type": "string", "format": "date"}, "title": text(10)},
        "convert": {
            "amount": {"type": "number", "minimum": 0, "maximum": 1e6},
            "to": listed("EUR", "CNY"),
        },
    }
    for name, arguments in tools.items():
        yield closed({"name": {"const": name}, "arguments": closed(arguments)})
        yield closed(arguments)
    calls = [closed({"name": {"const": n}, "arguments": closed(a)}) for n, a in tools.items()]
    for size in (2, 3, 5):
        yield {"anyOf": calls[:size]}
        yield {"oneOf": calls[-size:]}
        yield closed({"thought": text(20), "calls": of({"anyOf": calls[:size]}, 2, minItems=1)})


def configuration() -> Iterator[Schema]:
    port = whole(1, 65535)
    for name in ("database", "cache", "queue", "mailer", "proxy", "storage"):
        yield closed(
            {
                "version": listed(1, 2, "3"),
                name: record(
                    {
                        "host": {"type": "string", "format": "hostname", "maxLength": 20},
                        "port": port,
                        "tls": {"type": "boolean", "default": False},
                        "timeout_s": {"type": "number", "exclusiveMinimum": 0, "maximum": 60},
                        "options": {"type": "object", "additionalProperties": {"type": "boolean"}},
                    },
                    ["host"],
                ),
                "log": listed("debug", "info", "warning", "error"),
            },
            ["version", name],
        )
        yield {
            "type": "object",
            "patternProperties": {
                f"^{name}_[a-z]{{1,6}}$": {
                    "type": ["string", "integer"],
                    "maxLength": 5,
                    "maximum": 99,
                }
            },
            "additionalProperties": False,
        }
        yield closed(
            {
                "enabled": {"type": "boolean"},
                "url": {"type": "string", "format": "uri", "maxLength": 30},
                "retries": whole(0, 5),
            },
            ["enabled"],
            dependentRequired={"retries": ["url"]},
        )


def packages() -> Iterator[Schema]:
    version = {"type": "string", "pattern": r"^[~^]?\d{1,2}\.\d{1,2}\.\d{1,2}$"}
    named = {"type": "string", "pattern": "^(@[a-z]{1,5}/)?[a-z][a-z0-9-]{0,8}$"}
    for field in ("dependencies", "devDependencies", "peerDependencies", "engines"):
        wanted = {
            "type": "object",
            "propertyNames": {"pattern": "^[a-z][a-z-]{0,7}$"},
            "additionalProperties": version,
        }
        yield record(
            {
                "name": named,
                "version": {
                    "type": "string",
                    "pattern": r"^\d+\.\d+\.\d+(-[a-z0-9.]+)?$",
                    "maxLength": 14,
                },
                "private": {"type": "boolean"},
                "license": listed("MIT", "Apache-2.0", "BSD-3-Clause"),
                field: wanted,
            },
            ["name", "version"],
        )
        yield {
            "type": "object",
            "propertyNames": {"maxLength": 5, "minLength": 2},
            "additionalProperties": version,
        }
        yield closed(
            {"files": of(text(8, minLength=1), 3, uniqueItems=True), field: wanted}, [field]
        )
    yield closed(
        {
            "type": listed("module", "commonjs"),
            "scripts": {
                "type": "object",
                "patternProperties": {"^(pre|post)?(test|build)$": text(12)},
                "additionalProperties": False,
            },
        }
    )
    yield closed(
        {
            "author": {
                "anyOf": [
                    text(10),
                    closed(
                        {"name": text(10), "email": {"type": "string", "format": "email"}}, ["name"]
                    ),
                ]
            }
        }
    )


def openapi() -> Iterator[Schema]:
    parameter = record(
        {
            "name": text(8),
            "in": listed("query", "path", "header", "cookie"),
            "required": {"type": "boolean"},
        }
    )
    for verb in ("get", "post", "put", "delete", "patch"):
        yield closed(
            {
                "operationId": {"type": "string", "pattern": f"^{verb}[A-Z][a-z]{{2,8}}$"},
                "parameters": of(parameter, 2),
                "deprecated": {"type": "boolean"},
            },
            ["operationId"],
        )
        yield record(
            {
                "responses": {
                    "type": "object",
                    "patternProperties": {r"^[1-5]\d\d$": record({"description": text(10)})},
                    "additionalProperties": False,
                }
            }
        )
        yield {
            **parameter,
            "if": {"properties": {"in": {"const": "path"}}, "required": ["in"]},
            "then": {"properties": {"required": {"const": True}}},
        }
    yield {
        "$defs": {"p": parameter},
        "allOf": [
            {"$ref": "#/$defs/p"},
            {"properties": {"schema": record({"type": listed("string", "integer")})}},
        ],
    }


def events() -> Iterator[Schema]:
    base = {"at": {"type": "string", "format": "date-time"}, "seq": whole(0, 9999)}
    kinds: dict[str, Schema] = {
        "login": {"ip": {"type": "string", "format": "ipv4"}},
        "logout": {"reason": listed("user", "timeout")},
        "error": {"code": whole(400, 599), "trace": of(text(8), 2)},
        "upload": {"bytes": whole(0, 10**9), "sha": {"type": "string", "pattern": "^[0-9a-f]{8}$"}},
    }
    cases = [closed({"kind": {"const": k}, **base, **more}) for k, more in kinds.items()]
    yield from cases
    yield {"oneOf": cases}
    yield {"anyOf": cases}
    yield of({"oneOf": cases[:2]}, 2)
    for kind, more in kinds.items():
        yield {
            "$defs": {"base": record({"kind": listed(*kinds), **base})},
            "allOf": [{"$ref": "#/$defs/base"}, record({"kind": {"const": kind}, **more})],
        }
        yield {
            **record({"kind": listed(*kinds), **base}),
            "allOf": [{"if": {"properties": {"kind": {"const": kind}}}, "then": record(more)}],
            "unevaluatedProperties": False,
        }
