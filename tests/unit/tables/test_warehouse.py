"""Where a warehouse has its tables and locks."""

from itertools import combinations

import pytest
from shop import RAW_USER_EVENTS, STG_USER_EVENTS

from lakehouse.errors import LakehouseError
from lakehouse.tables.definitions import TABLES
from lakehouse.tables.warehouse import Warehouse


def test_the_default_warehouse_keeps_raw_and_locks_beside_it():
    warehouse = Warehouse.of("s3://retail-data/warehouse/")
    assert warehouse.place(RAW_USER_EVENTS) == "s3://retail-data/raw-data/user-events"
    assert warehouse.place(STG_USER_EVENTS) == (
        "s3://retail-data/warehouse/staging/stg_user_events"
    )
    assert warehouse.lock_key("user-events", None) == "locks/user-events.json"


def test_any_other_warehouse_keeps_everything_inside():
    warehouse = Warehouse.of("s3://retail-data/teams/lake")
    assert warehouse.place(RAW_USER_EVENTS) == "s3://retail-data/teams/lake/raw-data/user-events"
    assert warehouse.lock_key("user-events", None) == "teams/lake/locks/user-events.json"


def test_no_two_warehouses_of_a_bucket_share_a_place_or_a_lock():
    addresses = ["warehouse", "a", "a/warehouse", "a/raw-data", "raw-data", "warehouse/staging"]
    used = [
        {
            *(f"{warehouse.place(table)}/" for table in TABLES),
            f"s3://b/{warehouse.lock_key('user-events', warehouse.place(RAW_USER_EVENTS))}",
        }
        for warehouse in (Warehouse.of(f"s3://b/{address}") for address in addresses)
    ]
    for ours, theirs in combinations(used, 2):
        assert not [(a, b) for a in ours for b in theirs if a.startswith(b) or b.startswith(a)]


@pytest.mark.parametrize(
    ("raw_location", "key"),
    [
        # As every version before this one made it.
        ("s3://b/raw-data/user-events", "locks/user-events.json"),
        ("s3://b/raw-data/user-events-0a1b2c3d", "locks/user-events.json"),
        ("s3://b/lake/raw-data/user-events", "lake/locks/user-events.json"),
        ("s3://elsewhere/raw-data/user-events", "lake/locks/user-events.json"),
        ("s3://b2/raw-data/user-events", "lake/locks/user-events.json"),
        ("s3://b/restored/user_events", "lake/locks/user-events.json"),
    ],
)
def test_the_lock_stays_beside_a_raw_table_that_exists(raw_location, key):
    assert Warehouse.of("s3://b/lake").lock_key("user-events", raw_location) == key


@pytest.mark.parametrize(
    "address", ["s3://bucket", "s3://bucket/", "s3a://bucket//", "s3://", "s3:"]
)
def test_a_warehouse_without_a_folder_is_refused(address):
    with pytest.raises(LakehouseError, match=r"names no folder in a bucket.*s3://BUCKET/FOLDER"):
        Warehouse.of(address)


@pytest.mark.parametrize("folder", ["raw-data/user-events", "warehouse/staging/stg_user_events/x"])
def test_a_warehouse_inside_a_table_of_another_one_is_refused(folder):
    with pytest.raises(LakehouseError, match="is inside the folder of a table of another one"):
        Warehouse.of(f"s3://bucket/{folder}")
