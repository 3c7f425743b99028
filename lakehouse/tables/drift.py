"""The schemas that a table has had -> what somebody did to columns of ours, and how to undo it.

Iceberg knows a column by its id. It stays with the column when that is renamed, and a column that
is dropped and added again has another one, so the rows from before are without a value.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from lakehouse.iceberg.table import Table

# A schema as Iceberg's specification has it in JSON, its fields alone.
Schema = list[dict[str, Any]]


class Alteration(NamedTuple):
    what: str
    # None if no SQL undoes it.
    undo: str | None


def never_had(table: Table, schemas: Sequence[Schema]) -> list[str]:
    """Columns that a newer contract has added."""
    known = {field["name"] for schema in schemas for field in schema}
    return [name for name in table.column_names if name not in known]


def alteration(table: Table, schemas: Sequence[Schema]) -> Alteration | None:
    """The first thing that is wrong with the newest schema; `schemas` are the oldest first.

    Columns of others may be there, as long as they need no value.
    """
    now = {field["name"]: field for field in schemas[-1]}
    names = {field["id"]: field["name"] for field in schemas[-1]}
    first_ids: dict[str, int] = {}
    for schema in schemas:
        for field in schema:
            first_ids.setdefault(field["name"], field["id"])
    for column in table.columns:
        if column.name in first_ids:
            original = names.get(first_ids[column.name])
            found = _column_alteration(table, column, now.get(column.name), original)
            if found:
                return found
    for name, field in now.items():
        if field["required"]:
            undo = f"ALTER TABLE {table.name} ALTER COLUMN {name} DROP NOT NULL"
            return Alteration(f"its column {name} was made NOT NULL", undo)
    return None


def _column_alteration(
    table: Table, column: pa.Field, now: dict[str, Any] | None, original: str | None
) -> Alteration | None:
    """`original` is the name that the column goes by now."""
    name, alter = column.name, f"ALTER TABLE {table.name}"
    if original is None:
        again = " and added again, so older rows have no value in it" if now else ""
        return Alteration(f"its column {name} was dropped{again}", None)
    if original != name:
        undo = f"{alter} RENAME COLUMN {original} TO {name}"
        if now:
            undo = f"{alter} RENAME COLUMN {name} TO {name}_later; {undo}"
        if now and original not in table.column_names:
            later = f"SET {name} = {name}_later WHERE {name} IS NULL"
            undo = f"{undo}; UPDATE {table.name} {later}"
        again = f", and another {name} was added" if now else ""
        return Alteration(f"its column {name} was renamed to {original}{again}", undo)
    if now and _type_in(now["type"]) != _type_of(column.type):
        types = f"{_type_of(column.type)} to {_type_in(now['type'])}"
        return Alteration(f"its column {name} was changed from {types}", None)
    return None


def _type_in(found: Any) -> str:
    """Name a type from Iceberg's JSON schema."""
    if isinstance(found, str):
        return found
    if found["type"] == "list":
        return f"list<{_type_in(found['element'])}>"
    if found["type"] == "struct":
        fields = (f"{each['name']}: {_type_in(each['type'])}" for each in found["fields"])
        return f"struct<{', '.join(fields)}>"
    return str(found["type"])


def _type_of(type_: pa.DataType) -> str:
    if pa.types.is_list(type_):
        return f"list<{_type_of(type_.value_type)}>"
    if pa.types.is_struct(type_):
        fields = (f"{each.name}: {_type_of(each.type)}" for each in type_)
        return f"struct<{', '.join(fields)}>"
    if pa.types.is_decimal(type_):
        return f"decimal({type_.precision}, {type_.scale})"
    return _TYPES[type_]


_TYPES = {
    pa.string(): "string",
    pa.binary(): "binary",
    pa.bool_(): "boolean",
    pa.int32(): "int",
    pa.int64(): "long",
    pa.timestamp("us", tz="UTC"): "timestamptz",
}
