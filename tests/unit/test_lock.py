"""When a lease is over, for a contender and for its holder."""

import pytest

from lakehouse.errors import LakehouseError
from lakehouse.lock import WriterLock
from lakehouse.s3_object import S3Object, Version


class Store:
    """One object, as old as it is said to be."""

    def __init__(self):
        self.body = None
        self.writes = 0
        self.age_seconds = 0.0

    def read(self) -> Version | None:
        return self.body and Version(self.body, str(self.writes), self.age_seconds)

    def replace(self, etag: str | None, body: str) -> str | None:
        if etag != (self.body and str(self.writes)):
            return None
        self.body, self.writes = body, self.writes + 1
        return str(self.writes)


def test_a_lock_is_taken_over_once_the_holder_s_own_lease_is_over_for_certain():
    store = Store()
    with WriterLock(store, "user-events", lease=90):
        for age in (0, 60, 90):
            store.age_seconds = age
            with pytest.raises(LakehouseError), WriterLock(store, "user-events", lease=5):
                pass
        store.age_seconds = 91
        with WriterLock(store, "user-events", lease=5) as later:
            assert later.fencing == 2


def test_no_two_contents_of_a_lock_are_equal():
    store = Store()
    bodies = set()
    for _ in range(2):
        with WriterLock(store, "user-events", lease=60) as lock:
            bodies.add(store.body)
            for _ in range(3):
                lock._renew()
                bodies.add(store.body)
        bodies.add(store.body)
    assert len(bodies) == 2 * 5


def test_a_renewal_that_finds_another_holder_ends_the_lock_and_leaves_it_to_them():
    store = Store()
    with WriterLock(store, "user-events", lease=60) as lock:
        store.age_seconds = 61
        with WriterLock(store, "user-events", lease=60) as later:
            lock._renew()
            with pytest.raises(LakehouseError, match=r"is lost: process \d+ on \S+ took it over"):
                lock.check()
            later._renew()
            later.check()


def test_a_renewal_that_finds_no_object_ends_the_lock():
    store = Store()
    with WriterLock(store, "user-events", lease=60) as lock:
        store.body = None
        lock._renew()
        with pytest.raises(LakehouseError, match="is lost: its object was deleted"):
            lock.check()


@pytest.mark.parametrize("warehouse", ["", "file:///tmp/warehouse", "polaris"])
def test_a_warehouse_outside_of_s3_is_refused_with_what_to_set(warehouse):
    with pytest.raises(LakehouseError, match=r"Set spark.sql.catalog.lake.warehouse to s3://"):
        S3Object(None, {"warehouse": warehouse}, "locks/user-events.json")
