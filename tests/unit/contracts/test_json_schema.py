import copy
import dataclasses
import json
import shutil
import typing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from jsonschema import Draft202012Validator
from shop import PRODUCT_METADATA, USER_EVENTS

from lakehouse.contracts import CONTRACTS, Rejected
from lakehouse.contracts import __main__ as command
from lakehouse.contracts.compatibility import incompatibilities
from lakehouse.contracts.dbt_sources import FILE, dbt_sources
from lakehouse.contracts.json_schema import FOLDER, json_schema, publish
from lakehouse.contracts.value_types import Id, Instant, Price
from lakehouse.errors import LakehouseError
from lakehouse.tables.definitions import TABLES

EventType = typing.get_type_hints(USER_EVENTS.payload)["event_type"]
REPOSITORY = Path(__file__).parents[3]
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
REMOVED = object()
PURCHASE = {
    "event_id": "e1",
    "user_id": "u1",
    "product_id": "85123A",
    "event_type": "purchase",
    "event_timestamp": "2026-03-01T10:00:00.123456+02:00",
    "event_data": {"price": 0.1, "quantity": 2, "coupon": "X"},
    "campaign": {"name": "spring"},
}
PRODUCT = {"product_id": "85123A", "name": "Lantern", "price": 2.55, "updated_at": None}


def product(*fields):
    """Make a payload with a key, a time and these fields."""
    known = [("product_id", Id), *fields, ("updated_at", Instant | None, None)]
    return msgspec.defstruct("Product", known, kw_only=True)


def edited(document: dict, edits: dict[str, Any]) -> dict:
    """A copy with other values at dotted paths."""
    document = copy.deepcopy(document)
    for path, value in edits.items():
        *parents, name = path.split(".")
        inner = document
        for parent in parents:
            inner = inner[parent]
        if value is REMOVED:
            del inner[name]
        else:
            inner[name] = value
    return document


def files(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text("utf-8") for file in folder.glob("*.json")}


# -- what is published ------------------------------------------------------------------------


def test_the_published_schemas_are_those_of_the_contracts(tmp_path):
    folder = tmp_path / "contracts"
    shutil.copytree(FOLDER, folder)
    publish(folder)
    assert files(folder) == files(FOLDER), (
        "docs/contracts is not current: run `python -m lakehouse.contracts` and commit its files"
    )


def test_every_version_stays_published():
    assert {file.name for file in FOLDER.glob("*.json")} == {
        f"{contract.topic}.v{version}.json"
        for contract in CONTRACTS
        for version in range(1, contract.version + 1)
    }


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.topic)
def test_a_schema_is_valid_and_names_its_contract(contract):
    schema = json_schema(contract)
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"urn:retail-lakehouse:{contract.topic}:{contract.version}"


def test_the_sources_of_dbt_are_those_of_the_contracts():
    assert FILE.read_text() == dbt_sources(), "run python -m lakehouse.contracts"


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_the_sources_of_dbt_have_the_columns_of_the_tables(table):
    columns = {
        f"{source['name']}.{listed['name']}": [column["name"] for column in listed["columns"]]
        for file in (REPOSITORY / "dbt/models").rglob("sources.yml")
        for source in yaml.safe_load(file.read_text())["sources"]
        for listed in source["tables"]
    }
    assert columns.get(table.name) == table.column_names


# -- what a schema accepts ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "edits",
    [
        {},
        {"event_data.price": 999999999999.5, "event_timestamp": "2026-03-01 10:00:00z"},
        {"event_type": "return", "event_data.price": 0, "event_data.quantity": 2147483647},
        {"event_type": "view", "event_data": {}},
        {"event_type": "view", "event_data.price": None, "event_data.quantity": None},
    ],
)
def test_schema_and_parser_accept_a_good_event(edits):
    event = edited(PURCHASE, edits)
    Draft202012Validator(json_schema(USER_EVENTS)).validate(event)
    USER_EVENTS.parse(json.dumps(event).encode(), b"u1", NOW)


@pytest.mark.parametrize(
    "edits",
    [
        {"event_id": REMOVED},
        {"event_id": ""},
        {"event_id": None},
        {"user_id": ""},
        {"product_id": 85123},
        {"event_type": "refund"},
        {"event_timestamp": "2026-03-01T10:00:00"},
        {"event_timestamp": "2026-03-01T10:00:00.1234567Z"},
        {"event_timestamp": 1772359200},
        {"event_data": None},
        {"event_data": []},
        {"event_data.price": "12.90"},
        {"event_data.price": -0.01},
        {"event_data.price": 1000000000000},
        {"event_data.price": REMOVED},
        {"event_data.price": None},
        {"event_type": "return", "event_data.quantity": REMOVED},
        {"event_data.quantity": 1.5},
        {"event_data.quantity": 0},
        {"event_data.quantity": 2147483648},
    ],
)
def test_schema_and_parser_refuse_a_bad_event(edits):
    event = edited(PURCHASE, edits)
    assert not Draft202012Validator(json_schema(USER_EVENTS)).is_valid(event)
    with pytest.raises(Rejected):
        USER_EVENTS.parse(json.dumps(event).encode(), b"u1", NOW)


def test_schema_and_parser_agree_on_products():
    validator = Draft202012Validator(json_schema(PRODUCT_METADATA))
    validator.validate(PRODUCT)
    PRODUCT_METADATA.parse(json.dumps(PRODUCT).encode(), b"85123A", NOW)
    for edits in ({"product_id": REMOVED}, {"name": 5}, {"updated_at": "yesterday"}):
        product = edited(PRODUCT, edits)
        assert not validator.is_valid(product)
        with pytest.raises(Rejected):
            PRODUCT_METADATA.parse(json.dumps(product).encode(), b"85123A", NOW)


# -- what may change ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("edits", "messages"),
    [
        (
            {"x-may-differ": []},
            ["sent_at must no longer differ, but what was a duplicate stays one"],
        ),
        (
            {"properties.user_id": REMOVED},
            ["user_id was removed, but a published field stays"],
        ),
        (
            {
                "properties.event_data.properties.price": REMOVED,
                "properties.event_data.properties.cost": {"type": ["number", "null"]},
            },
            [
                "event_data.price was removed and event_data.cost of the same type added, but a"
                " published field stays, and a rename is a removal plus an addition"
            ],
        ),
        (
            {"properties.event_data.properties.price.type": ["string", "null"]},
            [
                "event_data.price was retyped from number to string,"
                " but a published field keeps its type"
            ],
        ),
        (
            {"properties.event_timestamp": {"type": "string"}},
            [
                "event_timestamp was retyped from string (date-time) to string,"
                " but a published field keeps its type"
            ],
        ),
        (
            {"properties.user_id.type": "string"},
            ["user_id is no longer nullable, but what was accepted stays accepted"],
        ),
        (
            {"properties.event_data.required": ["price"]},
            ["event_data.price is newly required, but what may be absent stays optional"],
        ),
        (
            {
                "properties.shop": {"type": "string"},
                "required": [
                    "event_id",
                    "product_id",
                    "event_type",
                    "event_timestamp",
                    "event_data",
                    "shop",
                ],
            },
            ["shop is newly required, but what may be absent stays optional"],
        ),
        (
            {"properties.event_data.properties.quantity.minimum": 2},
            ["event_data.quantity has minimum 2 instead of 1, but limits may only widen"],
        ),
        (
            {"properties.event_data.properties.quantity.maximum": 99},
            ["event_data.quantity has maximum 99 instead of 2147483647, but limits may only widen"],
        ),
        (
            {"properties.event_data.properties.price.x-maximum-decimals": 2},
            ["event_data.price has x-maximum-decimals 2 instead of 6, but limits may only widen"],
        ),
        (
            {"properties.event_id.minLength": 8},
            ["event_id has minLength 8 instead of 1, but limits may only widen"],
        ),
        (
            {"properties.event_data.properties.price.maximum": 10},
            ["event_data.price has maximum 10 instead of none, but limits may only widen"],
        ),
        (
            {"x-maximum-value-bytes": 1000},
            [
                "the message has x-maximum-value-bytes 1000 instead of 1048576,"
                " but limits may only widen"
            ],
        ),
        (
            {"x-maximum-depth": 8},
            ["the message has x-maximum-depth 8 instead of 32, but limits may only widen"],
        ),
        (
            {"properties.event_data.properties.price.exclusiveMaximum": 1000},
            [
                "event_data.price has exclusiveMaximum 1000 instead of 1000000000000,"
                " but limits may only widen"
            ],
        ),
        (
            {"properties.event_timestamp.x-maximum-seconds-after-kafka-timestamp": 60},
            [
                "event_timestamp has x-maximum-seconds-after-kafka-timestamp 60 instead of 86400,"
                " but limits may only widen"
            ],
        ),
        (
            {"properties.event_timestamp.x-earliest": "2000-01-01T00:00:00+00:00"},
            [
                "event_timestamp has x-earliest 2000-01-01T00:00:00+00:00 instead of"
                " 1970-01-01T00:00:00+00:00, but limits may only widen"
            ],
        ),
        (
            {"properties.event_type.enum": ["add_to_cart", "purchase", "remove_from_cart", "view"]},
            ["event_type no longer takes return, but values may only be added"],
        ),
        (
            {"properties.product_id.enum": ["85123A"]},
            ["product_id takes listed values alone, but what was accepted stays accepted"],
        ),
        (
            {"properties.event_timestamp.pattern": "Z$"},
            ["event_timestamp has another pattern, but what was accepted stays accepted"],
        ),
        (
            {"if.properties.event_type.enum": ["add_to_cart", "purchase", "return"]},
            [
                "event_data.price is newly required where event_type is add_to_cart,"
                " but what may be absent stays optional",
                "event_data.quantity is newly required where event_type is add_to_cart,"
                " but what may be absent stays optional",
            ],
        ),
        (
            {"properties.event_data.additionalProperties": False},
            ["event_data no longer takes unknown fields, but they are free"],
        ),
        (
            {"x-kafka-key": "event_id"},
            ["the Kafka key is event_id instead of user_id, but a published key stays"],
        ),
        (
            {"type": "array"},
            ["the message was retyped from object to array, but a published field keeps its type"],
        ),
    ],
)
def test_an_incompatible_change_is_named_with_its_rule(edits, messages):
    published = json_schema(USER_EVENTS)
    assert incompatibilities(published, edited(published, edits)) == messages


def test_tombstones_stay_accepted():
    published = json_schema(PRODUCT_METADATA)
    current = json_schema(dataclasses.replace(PRODUCT_METADATA, tombstones=False))
    assert incompatibilities(published, current) == [
        "a null value no longer deletes, but what was accepted stays accepted"
    ]
    assert not incompatibilities(current, published)


@pytest.mark.parametrize(
    "edits",
    [
        {},
        {"properties.shop": {"type": ["string", "null"]}},
        {"properties.event_data.properties.coupon": {"type": "string"}},
        {"properties.product_id.type": ["string", "null"]},
        {"required": ["event_id"]},
        {"properties.event_data.properties.quantity.minimum": 0},
        {"properties.event_data.properties.quantity.maximum": REMOVED},
        {"properties.event_data.properties.price.exclusiveMaximum": 10**15},
        {"properties.event_id.minLength": REMOVED},
        {"properties.event_timestamp.pattern": REMOVED},
        {"properties.event_timestamp.x-earliest": "1900-01-01T00:00:00+00:00"},
        {"properties.event_type.enum": REMOVED},
        {
            "properties.event_type.enum": [
                "add_to_cart",
                "gift",
                "purchase",
                "remove_from_cart",
                "return",
                "view",
            ],
            "if.properties.event_type.enum": ["gift", "purchase", "return"],
        },
        {"if": REMOVED, "then": REMOVED},
        {"title": "Events", "description": "Other words.", "$comment": "Other words."},
    ],
)
def test_a_compatible_change_has_no_message(edits):
    published = json_schema(USER_EVENTS)
    assert incompatibilities(published, edited(published, edits)) == []


def test_a_nullable_choice_is_published_as_one():
    nullable = product(("event_type", EventType | None, None))
    published = json_schema(dataclasses.replace(PRODUCT_METADATA, payload=nullable))
    assert published["properties"]["event_type"] == {
        "type": ["string", "null"],
        "enum": ["add_to_cart", "purchase", "remove_from_cart", "return", "view", None],
    }
    plain = product(("event_type", EventType, "view"))
    current = json_schema(dataclasses.replace(PRODUCT_METADATA, payload=plain))
    assert incompatibilities(published, current) == [
        "event_type is no longer nullable, but what was accepted stays accepted"
    ]


# -- publishing ---------------------------------------------------------------------------------

PRICED_PRODUCT = product(("price", Price))
SHOP_PRODUCT = msgspec.defstruct(
    "ShopProduct", [("shop", str | None, None)], bases=(PRODUCT_METADATA.payload,), kw_only=True
)


def test_an_incompatible_contract_is_refused_and_nothing_is_written(tmp_path):
    publish(tmp_path)
    before = files(tmp_path)
    widened = dataclasses.replace(PRODUCT_METADATA, payload=SHOP_PRODUCT, topic="other")
    narrowed = dataclasses.replace(PRODUCT_METADATA, payload=PRICED_PRODUCT)
    with pytest.raises(LakehouseError) as refusal:
        publish(tmp_path, [widened, narrowed])
    assert str(refusal.value) == (
        "product-metadata.v1.json is published, and the contract no longer keeps it: "
        "name was removed, but a published field stays; "
        "category was removed, but a published field stays; "
        "brand was removed, but a published field stays; "
        "price is no longer nullable, but what was accepted stays accepted; "
        "price is newly required, but what may be absent stays optional. "
        "Undo that, or raise the version of the contract in its file in lakehouse/contracts and "
        "publish again with `python -m lakehouse.contracts`; the old file stays"
    )
    assert files(tmp_path) == before


def test_a_raised_version_is_a_new_file_beside_the_old_one(tmp_path):
    publish(tmp_path)
    before = files(tmp_path)
    raised = dataclasses.replace(PRODUCT_METADATA, payload=PRICED_PRODUCT, version=2)
    assert publish(tmp_path, [raised]) == {tmp_path / "product-metadata.v2.json": True}
    after = files(tmp_path)
    assert json.loads(after.pop("product-metadata.v2.json"))["required"] == ["product_id", "price"]
    assert after == before


def test_a_compatible_contract_is_written_over_its_file(tmp_path):
    publish(tmp_path)
    file = tmp_path / "product-metadata.v1.json"
    widened = dataclasses.replace(PRODUCT_METADATA, payload=SHOP_PRODUCT)
    assert publish(tmp_path, [widened]) == {file: True}
    assert json.loads(file.read_text())["properties"]["shop"] == {"type": ["string", "null"]}
    assert publish(tmp_path, [widened]) == {file: False}


def test_a_published_file_that_is_no_json_is_named(tmp_path):
    (tmp_path / "user-events.v1.json").write_text("<<<<<<< HEAD")
    with pytest.raises(LakehouseError, match=r"user-events\.v1\.json is no JSON .* git checkout"):
        publish(tmp_path)


def test_the_command_says_what_it_wrote(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "FOLDER", tmp_path)
    monkeypatch.setattr(command, "FILE", tmp_path / "sources.yml")
    command.app([], standalone_mode=False)
    (tmp_path / "user-events.v1.json").unlink()
    command.app([], standalone_mode=False)
    assert capsys.readouterr().out.splitlines() == [
        f"written   {tmp_path}/product-metadata.v1.json",
        f"written   {tmp_path}/user-events.v1.json",
        f"written   {tmp_path}/sources.yml",
        f"unchanged {tmp_path}/product-metadata.v1.json",
        f"written   {tmp_path}/user-events.v1.json",
        f"unchanged {tmp_path}/sources.yml",
    ]
