"""When a lease is over, for a contender and for its holder."""

import re
import time

import pytest

from lakehouse.errors import LakehouseError
from lakehouse.locks.s3_object import S3Object, Version
from lakehouse.locks.writer_lock import WriterLock


class Store:
    """One object, as old as it is said to be."""

    address = "s3://b/locks/user-events.json"

    def __init__(self):
        self.body = None
        self.writes = 0
        self.age_seconds = 0.0

    def read(self) -> Version | None:
        return self.body and Version(self.body.encode(), str(self.writes), self.age_seconds)

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


LEASE = (
    '{"holder":{"host":"h","pid":1,"id":"i"},"acquired_at":"2026-03-05T10:00:00Z",'
    '"lease_seconds":%s,"fencing":1}'
)


@pytest.mark.parametrize(
    "body",
    [
        "no JSON",
        "[]",
        "null",
        '{"holder":"me"}',
        " ",
        "\x00",
        "[" * 9999,
        LEASE % "1e300",
        LEASE % -1,
    ],
)
def test_an_object_that_is_no_lock_of_ours_is_refused_in_one_line_and_left_alone(body):
    store = Store()
    store.body = body
    with pytest.raises(LakehouseError) as refused, WriterLock(store, "user-events", lease=60):
        pass
    assert re.fullmatch(
        r"s3://b/locks/user-events.json holds no lock of ours: .+\. Delete it, or move it "
        r"elsewhere, once no job writes; then run the same command again, which makes a new one",
        str(refused.value),
    )
    assert store.body == body


def test_a_renewal_that_finds_no_lock_of_ours_ends_the_lock():
    store = Store()
    with WriterLock(store, "user-events", lease=0.3) as lock:
        store.body, store.writes = "no JSON", 77
        assert eventually_lost(lock).startswith(
            "The lock on user-events is lost: s3://b/locks/user-events.json holds no lock of ours"
        )


def test_a_renewal_survives_whatever_is_raised_and_says_the_loss_if_that_goes_on(caplog):
    store = Store()
    with WriterLock(store, "user-events", lease=0.6) as lock:
        store.replace = raising(failures := [])
        while not failures:
            time.sleep(0.01)
        del store.replace
        time.sleep(1.2)
        lock.check()
        store.replace = raising([])
        assert "its lease ended before it could be renewed" in eventually_lost(lock)
        while "lock lost" not in caplog.text:
            time.sleep(0.01)
    causes = {getattr(record, "cause", None) for record in caplog.records}
    assert "ZeroDivisionError: a mistake of ours" in causes


def raising(failures: list):
    def replace(*_):
        failures.append(1)
        raise ZeroDivisionError("a mistake of ours")

    return replace


def eventually_lost(lock: WriterLock) -> str:
    while True:
        time.sleep(0.02)
        try:
            lock.check()
        except LakehouseError as error:
            return str(error)


@pytest.mark.parametrize("ignored", ["If-None-Match", "If-Match"])
def test_a_store_that_ignores_a_condition_is_found_out_and_the_lock_is_free_then(ignored):
    store = Store()
    honoured = store.replace

    def replace(etag, body):
        if ignored == ("If-Match" if etag else "If-None-Match"):
            etag = store.body and str(store.writes)
        return honoured(etag, body)

    store.replace = replace
    with (
        pytest.raises(LakehouseError, match=f"The store ignores {ignored}: it replaced s3://b/lo"),
        WriterLock(store, "user-events", lease=60),
    ):
        pass
    del store.replace
    with WriterLock(store, "user-events", lease=60) as later:
        assert later.fencing == 2


@pytest.mark.parametrize("warehouse", ["", "file:///tmp/warehouse", "polaris"])
def test_a_warehouse_outside_of_s3_is_refused_with_what_to_set(warehouse):
    with pytest.raises(LakehouseError, match=r"Set spark.sql.catalog.lake.warehouse to s3://"):
        S3Object(None, {"warehouse": warehouse}, "locks/user-events.json")
