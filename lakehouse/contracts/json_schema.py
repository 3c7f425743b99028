"""Contracts -> docs/contracts/<topic>.v<version>.json, the JSON Schemas that others rely on.

Written by `python -m lakehouse.contracts`. What is published may be widened; whatever would refuse
a message that was good, or change what it means, needs a new version of the contract.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec

from lakehouse.contracts import CONTRACTS, Contract, Requirement
from lakehouse.contracts.compatibility import Schema, incompatibilities
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
