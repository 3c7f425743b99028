"""Two JSON Schemas of a topic -> what the newer would refuse that the older accepted."""

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]

_LOWER_LIMITS = ("minimum", "minLength", "x-earliest")
_UPPER_LIMITS = (
    "maximum",
    "exclusiveMaximum",
    "x-maximum-decimals",
    "x-maximum-seconds-after-kafka-timestamp",
    "x-maximum-value-bytes",
    "x-maximum-depth",
)


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
    if "null" in published.get("type", ()) and "null" not in current["type"]:
        yield f"{subject} is no longer nullable, but what was accepted stays accepted"
    yield from _about_limits(subject, published, current)
    yield from _about_enum(subject, published, current)
    if current.get("pattern") not in (None, published.get("pattern")):
        yield f"{subject} has another pattern, but what was accepted stays accepted"
    if "properties" in published:
        yield from _about_fields(path, published, current)


def _kind(schema: Schema) -> str:
    """The type, null aside. A format is part of it: it decides the type of the column."""
    # A label takes any value.
    type_ = schema.get("type", "any")
    types = [type_] if type(type_) is str else type_
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
