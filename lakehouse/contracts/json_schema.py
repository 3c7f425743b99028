"""Contracts -> docs/contracts/<topic>.v<version>.json, the JSON Schemas that others rely on.

Written by `python -m lakehouse.contracts`. What is published may be widened; whatever would refuse
a message that was good, or change what it means, needs a new version of the contract.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from lakehouse.contracts import CONTRACTS, Contract, Requirement
from lakehouse.contracts.parse import EVENT_WINDOW_AHEAD, EVENT_WINDOW_START
from lakehouse.contracts.rejection import MAX_DEPTH, MAX_VALUE_BYTES
from lakehouse.contracts.value_types import (
    PRICE_INTEGER_DIGITS,
    PRICE_SCALE,
    RFC_3339,
    Instant,
    Price,
    is_personal,
)
from lakehouse.errors import LakehouseError

FOLDER = Path(__file__).parents[2] / "docs/contracts"

Schema = dict[str, Any]
Embedded = Mapping[str, type[msgspec.Struct]]
NOTHING: Embedded = MappingProxyType({})

_OWN_TYPES = {
    # No multipleOf for the scale: validators divide floats by it, and find that 0.1 is none.
    Price: {
        "type": "number",
        "minimum": 0,
        "exclusiveMaximum": 10**PRICE_INTEGER_DIGITS,
        "x-maximum-decimals": PRICE_SCALE,
    },
    # The pattern as well, because most validators take a format for a mere remark.
    Instant: {
        "type": "string",
        "format": "date-time",
        "pattern": f"^{RFC_3339}$",
        "x-earliest": EVENT_WINDOW_START.isoformat(),
        "x-maximum-seconds-after-kafka-timestamp": int(EVENT_WINDOW_AHEAD.total_seconds()),
    },
}
_LOWER_LIMITS = ("minimum", "minLength", "x-earliest")
_UPPER_LIMITS = (
    "maximum",
    "exclusiveMaximum",
    "x-maximum-decimals",
    "x-maximum-seconds-after-kafka-timestamp",
    "x-maximum-value-bytes",
    "x-maximum-depth",
)


def json_schema(contract: Contract) -> Schema:
    """Draft 2020-12. What it can't say is an annotation, `x-`, or the comment."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:retail-lakehouse:{contract.topic}:{contract.version}",
        "$comment": (
            "Refused as well: a key that an object holds twice, half of a surrogate pair,"
            " 1.0 for an integer, a day that no calendar has."
        ),
        "title": contract.topic,
        "x-kafka-key": contract.key,
        "x-tombstones": contract.tombstones,
        "x-maximum-value-bytes": MAX_VALUE_BYTES,
        "x-maximum-depth": MAX_DEPTH,
        "x-may-differ": sorted(contract.may_differ),
        **_object(contract.payload, contract.embedded),
        **_conditional(contract.requires),
    }


def _conditional(requirements: tuple[Requirement, ...]) -> Schema:
    """Return `if` and `then` for one requirement, and `allOf` these for several."""
    rules: list[Schema] = []
    for each in requirements:
        then: Schema = {}
        for path in each.fields:
            *documents, name = path.split(".")
            inside = then
            for document in documents:
                inside = inside.setdefault("properties", {}).setdefault(document, {})
            inside.setdefault("properties", {})[name] = {"not": {"type": "null"}}
            inside.setdefault("required", []).append(name)
        decider = {"properties": {each.field: {"enum": sorted(each.values)}}}
        rules.append({"if": {**decider, "required": [each.field]}, "then": then})
    if len(rules) > 1:
        return {"allOf": rules}
    return rules[0] if rules else {}


def _object(message: type[msgspec.Struct], embedded: Embedded = NOTHING) -> Schema:
    fields = msgspec.structs.fields(message)
    return {
        "type": "object",
        **({"description": _text(message)} if message.__doc__ else {}),
        "properties": {
            field.name: _object(embedded[field.name])
            if field.name in embedded
            else _property(field)
            for field in fields
        },
        "required": [field.name for field in fields if field.required],
        "additionalProperties": True,
    }


def _property(field: msgspec.structs.FieldInfo) -> Schema:
    schema = msgspec.json.schema(field.type, schema_hook=_own_type)
    first: Schema
    first, *null = schema.get("anyOf", [schema])
    if "enum" in first:
        first = {**first, "type": "string", "enum": first["enum"] + [None] * len(null)}
    if null:
        first = first | {"type": [first["type"], "null"]}
    said = {"description": schema["description"]} if "description" in schema else {}
    return first | said | ({"x-personal": True} if is_personal(field.type) else {})


def _own_type(type_: type) -> Schema:
    return _OWN_TYPES[type_] | {"$comment": _text(type_)}


def _text(type_: type) -> str:
    return " ".join((type_.__doc__ or "").split())


def incompatibilities(published: Schema, current: Schema) -> list[str]:
    """List incompatible changes from the published schema to the current one, a sentence each."""
    return [
        *_about_message(published, current),
        *_about_value("", published, current),
        *_about_conditions(published, current),
    ]


def _about_message(published: Schema, current: Schema) -> Iterator[str]:
    old, new = published["x-kafka-key"], current["x-kafka-key"]
    if old != new:
        yield f"the Kafka key is {new} instead of {old}, but a published key stays"
    if published["x-tombstones"] and not current["x-tombstones"]:
        yield "a null value no longer deletes, but what was accepted stays accepted"
    for name in published.get("x-may-differ", []):
        if name not in current["x-may-differ"]:
            yield f"{name} must no longer differ, but what was a duplicate stays one"


def _about_value(path: str, published: Schema, current: Schema) -> Iterator[str]:
    subject = path or "the message"
    old, new = _kind(published), _kind(current)
    if old != new:
        yield f"{subject} was retyped from {old} to {new}, but a published field keeps its type"
        return
    if "null" in published["type"] and "null" not in current["type"]:
        yield f"{subject} is no longer nullable, but what was accepted stays accepted"
    yield from _about_limits(subject, published, current)
    yield from _about_enum(subject, published, current)
    if current.get("pattern") not in (None, published.get("pattern")):
        yield f"{subject} has another pattern, but what was accepted stays accepted"
    if "properties" in published:
        yield from _about_fields(path, published, current)


def _kind(schema: Schema) -> str:
    """The type, null aside. A format is part of it: it decides the type of the column."""
    types = [schema["type"]] if type(schema["type"]) is str else schema["type"]
    kind = " or ".join(name for name in types if name != "null")
    return f"{kind} ({schema['format']})" if "format" in schema else kind


def _about_limits(subject: str, published: Schema, current: Schema) -> Iterator[str]:
    for limit in (*_LOWER_LIMITS, *_UPPER_LIMITS):
        if limit not in current or current[limit] == published.get(limit):
            continue
        old, new = published.get(limit, "none"), current[limit]
        if limit not in published or (new > old) == (limit in _LOWER_LIMITS):
            yield f"{subject} has {limit} {new} instead of {old}, but limits may only widen"


def _about_enum(subject: str, published: Schema, current: Schema) -> Iterator[str]:
    if "enum" not in current:
        return
    if "enum" not in published:
        yield f"{subject} takes listed values alone, but what was accepted stays accepted"
        return
    for value in published["enum"]:
        if value not in current["enum"] and value is not None:
            yield f"{subject} no longer takes {value}, but values may only be added"


def _about_fields(path: str, published: Schema, current: Schema) -> Iterator[str]:
    old, new = published["properties"], current["properties"]
    prefix = f"{path}." if path else ""
    added = {_kind(new[name]): prefix + name for name in new if name not in old}
    for name in old:
        if name in new:
            yield from _about_value(prefix + name, old[name], new[name])
        elif twin := added.get(_kind(old[name])):
            yield (
                f"{prefix}{name} was removed and {twin} of the same type added, but a published"
                " field stays, and a rename is a removal plus an addition"
            )
        else:
            yield f"{prefix}{name} was removed, but a published field stays"
    for name in current["required"]:
        if name not in published["required"]:
            yield f"{prefix}{name} is newly required, but what may be absent stays optional"
    if published["additionalProperties"] and not current["additionalProperties"]:
        yield f"{path or 'the message'} no longer takes unknown fields, but they are free"


def _about_conditions(published: Schema, current: Schema) -> Iterator[str]:
    old = _conditions(published)
    for decider, value, path in _conditions(current):
        # A value that is itself new brings its own conditions: no message had it before.
        known = published["properties"].get(decider, {}).get("enum", [])
        if value in known and (decider, value, path) not in old:
            yield (
                f"{path} is newly required where {decider} is {value},"
                " but what may be absent stays optional"
            )


def _conditions(schema: Schema) -> list[tuple[str, str, str]]:
    """Deciding field, its value, and the path of a field that is required then."""
    if "if" not in schema:
        return []
    return [
        (decider, value, f"{name}.{inner}")
        for decider, rule in schema["if"]["properties"].items()
        for value in rule["enum"]
        for name, then in schema["then"]["properties"].items()
        for inner in then["required"]
    ]


def publish(folder: Path, contracts: Iterable[Contract] = CONTRACTS) -> dict[Path, bool]:
    """Write one file per contract, and say which of them changed. All are checked before."""
    texts = {}
    for contract in contracts:
        file = folder / f"{contract.topic}.v{contract.version}.json"
        schema = json_schema(contract)
        if file.exists():
            _refuse_incompatible(file, schema)
        texts[file] = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    changed = {
        file: not file.exists() or file.read_text("utf-8") != text for file, text in texts.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in texts.items():
        file.write_text(text, "utf-8")
    return changed


def _refuse_incompatible(file: Path, schema: Schema) -> None:
    try:
        published = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise LakehouseError(
            f"{file} is no JSON ({error})", f"Restore it: git checkout HEAD -- {file}"
        ) from None
    if broken := incompatibilities(published, schema):
        raise LakehouseError(
            f"{file.name} is published, and the contract no longer keeps it: {'; '.join(broken)}",
            "Undo that, or raise the version of the contract in its file in lakehouse/contracts"
            " and publish again with `python -m lakehouse.contracts`; the old file stays",
        )
