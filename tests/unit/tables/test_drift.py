"""What Iceberg's history of a table's schemas says of columns that others have altered."""

import pytest
from shop import RAW_USER_EVENTS, STG_PRODUCT_METADATA

from lakehouse.tables.definitions import TABLES
from lakehouse.tables.drift import alteration, never_had

# As Iceberg gives out ids, written by hand.
OURS = [
    {"id": 1, "name": "product_id", "required": False, "type": "string"},
    {"id": 2, "name": "name", "required": False, "type": "string"},
    {"id": 3, "name": "category", "required": False, "type": "string"},
    {"id": 4, "name": "brand", "required": False, "type": "string"},
    {"id": 5, "name": "price", "required": False, "type": "decimal(18, 6)"},
    {"id": 6, "name": "updated_at", "required": False, "type": "timestamptz"},
    {"id": 7, "name": "is_deleted", "required": False, "type": "boolean"},
    {"id": 8, "name": "extra", "required": False, "type": "string"},
    {"id": 9, "name": "kafka_partition", "required": False, "type": "int"},
    {"id": 10, "name": "kafka_offset", "required": False, "type": "long"},
    {"id": 11, "name": "kafka_timestamp", "required": False, "type": "timestamptz"},
]
TABLE = "staging.stg_product_metadata"


def with_(schema, id_, **changes):
    return [field | changes if field["id"] == id_ else field for field in schema]


def without(schema, *ids):
    return [field for field in schema if field["id"] not in ids]


def added(schema, id_, name, type_, required=False):
    return [*schema, {"id": id_, "name": name, "required": required, "type": type_}]


@pytest.mark.parametrize(
    ("schemas", "what", "undo"),
    [
        (
            [OURS, with_(OURS, 5, name="cost")],
            "its column price was renamed to cost",
            f"ALTER TABLE {TABLE} RENAME COLUMN cost TO price",
        ),
        (
            [OURS, with_(OURS, 5, name="cost"), added(with_(OURS, 5, name="cost"), 12, "price",
                                                      "decimal(18, 6)")],
            "its column price was renamed to cost, and another price was added",
            f"ALTER TABLE {TABLE} RENAME COLUMN price TO price_later; "
            f"ALTER TABLE {TABLE} RENAME COLUMN cost TO price; "
            f"UPDATE {TABLE} SET price = price_later WHERE price IS NULL",
        ),
        (
            [OURS, with_(with_(OURS, 2, name="brand"), 4, name="name")],
            "its column name was renamed to brand, and another name was added",
            f"ALTER TABLE {TABLE} RENAME COLUMN name TO name_later; "
            f"ALTER TABLE {TABLE} RENAME COLUMN brand TO name",
        ),
        ([OURS, without(OURS, 5)], "its column price was dropped", None),
        (
            [OURS, without(OURS, 5), added(without(OURS, 5), 12, "price", "decimal(18, 6)")],
            "its column price was dropped and added again, so older rows have no value in it",
            None,
        ),
        (
            [OURS, with_(OURS, 9, type="long")],
            "its column kafka_partition was changed from int to long",
            None,
        ),
        (
            [OURS, with_(OURS, 5, type="decimal(20, 6)")],
            "its column price was changed from decimal(18, 6) to decimal(20, 6)",
            None,
        ),
        (
            [OURS, added(OURS, 12, "note", "string", required=True)],
            "its column note was made NOT NULL",
            f"ALTER TABLE {TABLE} ALTER COLUMN note DROP NOT NULL",
        ),
    ],
)  # fmt: skip
def test_each_alteration_is_named_with_the_sql_that_undoes_it(schemas, what, undo):
    assert alteration(STG_PRODUCT_METADATA, schemas) == (what, undo)
    assert never_had(STG_PRODUCT_METADATA, schemas) == []


@pytest.mark.parametrize(
    "schemas",
    [
        [OURS],
        [OURS, added(OURS, 12, "note", "string")],
        [OURS, with_(OURS, 5, name="cost"), OURS],
        [OURS, added(OURS, 12, "note", "string"), OURS],
        # What the SQL of the second case above leaves.
        [OURS, with_(OURS, 5, name="cost"), added(OURS, 12, "price_later", "decimal(18, 6)")],
        [OURS, without(OURS, 5), added(without(OURS, 5), 12, "price", "decimal(18, 6)"), OURS],
        [list(reversed(OURS))],
    ],
)
def test_columns_of_others_and_what_was_undone_are_no_alteration(schemas):
    assert alteration(STG_PRODUCT_METADATA, schemas) is None
    assert never_had(STG_PRODUCT_METADATA, schemas) == []


def test_a_column_that_the_table_never_had_is_one_of_a_newer_contract():
    older = [without(OURS, 8), added(without(OURS, 8), 12, "note", "string")]
    assert alteration(STG_PRODUCT_METADATA, older) is None
    assert never_had(STG_PRODUCT_METADATA, older) == ["extra"]


def test_a_field_within_a_column_counts_as_its_type():
    field = {"element-id": 9, "element-required": False, "type": "list"}
    key = {"id": 10, "name": "key", "required": False, "type": "string"}
    value = {"id": 11, "name": "value", "required": False, "type": "binary"}

    def of(*fields):
        element = {"type": "struct", "fields": list(fields)}
        return [{"id": 8, "name": "headers", "required": False,
                 "type": field | {"element": element}}]  # fmt: skip

    assert alteration(RAW_USER_EVENTS, [of(key, value)]) is None
    assert alteration(RAW_USER_EVENTS, [of(key, value), of(key)]).what == (
        "its column headers was changed from list<struct<key: string, value: binary>> "
        "to list<struct<key: string>>"
    )


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_each_table_s_types_are_known(table):
    other = {"id": 1, "required": False, "type": "uuid"}
    for column in table.column_names:
        assert "to uuid" in alteration(table, [[other | {"name": column}]]).what
