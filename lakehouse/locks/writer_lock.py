"""One writer per topic, on whatever machine: a lease, locks/<topic>.json beside raw-data.

It is taken, renewed, taken over and released by conditional puts, so of several writers one wins.
A holder goes by its own clock and counts from before it sent the request; a contender goes by the
store's clock alone. So the clocks of two machines are never compared, and this relies on a store
that honours If-None-Match and If-Match, which each acquisition tries, and whose clock does not jump
by a lease. A released lease stays in place, so that its fencing number grows with each acquisition.
"""

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
from pyspark.sql import SparkSession

from lakehouse.errors import LakehouseError
from lakehouse.iceberg.catalog import catalog_properties, existing_table
from lakehouse.locks.s3_object import S3Object, Version
from lakehouse.retry import cause as cause_of
from lakehouse.tables.definitions import TABLES
from lakehouse.tables.warehouse import Warehouse

# The store's clock is read from headers that cut off the fraction of the second.
STORE_CLOCK_SECONDS = 1
LONGEST_LEASE_SECONDS = 24 * 60 * 60
# No version of an object has it: etags are digests.
NO_ETAG = '"of-no-version"'
# Unlike time.monotonic, it goes on while the machine is suspended.
CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

log = logging.getLogger("lakehouse.locks")


@dataclass(frozen=True)
class Holder:
    host: str
    pid: int
    id: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


@dataclass(frozen=True)
class Lease:
    """The object's content. No two are equal: equal content would have an equal etag."""

    holder: Holder
    acquired_at: datetime
    lease_seconds: Annotated[float, msgspec.Meta(ge=0, le=LONGEST_LEASE_SECONDS)]
    fencing: int
    renewals: int = 0
    released: bool = False


def seconds() -> float:
    return time.clock_gettime(CLOCK)


@contextmanager
def writer_locks(
    spark: SparkSession, topics: Iterable[str], lease: float
) -> Iterator[Callable[[], None]]:
    """Hold those of several topics; yields a check of them all, to be called before each write."""
    with ExitStack() as stack:
        locks = [stack.enter_context(writer_lock(spark, topic, lease)) for topic in sorted(topics)]

        def check() -> None:
            for lock in locks:
                lock.check()

        yield check


@contextmanager
def writer_lock(spark: SparkSession, topic: str, lease: float) -> Iterator["WriterLock"]:
    """Be the only writer of a topic, or fail at once; lease in seconds."""
    stored = S3Object(spark._jvm, catalog_properties(spark), _key(spark, topic))
    with closing(stored), WriterLock(stored, topic, lease) as lock:
        yield lock


def _key(spark: SparkSession, topic: str) -> str:
    warehouse = Warehouse.of(catalog_properties(spark).get("warehouse", ""))
    tables = (existing_table(spark, table) for table in TABLES if table.raw_topic == topic)
    raw = next(tables, None)
    return warehouse.lock_key(topic, raw and raw.location())


class NotALeaseError(LakehouseError):
    """Something else is in the place of a lock."""


class WriterLock:
    """Held inside `with`, where a thread renews it. Once lost, it stays lost."""

    def __init__(self, stored: S3Object, topic: str, lease: float):
        self._stored = stored
        self._topic = topic
        me = Holder(socket.gethostname(), os.getpid(), uuid.uuid4().hex)
        self._lease = Lease(me, datetime.now(UTC), lease, fencing=0)
        self._etag: str | None = None
        self._ends = 0.0
        self._loss: str | None = None
        self._is_over = threading.Event()
        self._renewals = threading.Thread(target=self._keep, name=f"lock {topic}", daemon=True)

    @property
    def fencing(self) -> int:
        """Larger than that of every earlier holder."""
        return self._lease.fencing

    def __enter__(self) -> "WriterLock":
        self._acquire()
        self._renewals.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._renewals.join(max(0, self._ends - seconds()))
        if self._loss or self._renewals.is_alive():
            return
        try:
            if self._put(replace(self._lease, released=True)):
                return
            cause = "it is not the version that was renewed last"
        except Exception as error:
            cause = _said(error)
        log.warning("lock not released; it ends by itself", extra=self._about(cause=cause))

    def check(self) -> None:
        """Fail if another may be writing by now, as after a pause of this process."""
        if not self._loss and seconds() >= self._ends:
            self._loss = "its lease ended before it could be renewed"
        if self._loss:
            raise LakehouseError(
                f"The lock on {self._topic} is lost: {self._loss}",
                "What was committed stays, once: run the same command again",
            )

    def _acquire(self) -> None:
        self._take()
        self._probe()

    def _probe(self) -> None:
        """Fail if the store replaces an object although the condition for that is not met.

        Many stores of S3's protocol ignore conditions, and then each of two writers would be told
        that the lock is its own.
        """
        probe = msgspec.json.encode(replace(self._lease, released=True)).decode()
        for condition, etag in (("If-None-Match", None), ("If-Match", NO_ETAG)):
            if self._stored.replace(etag, probe):
                raise LakehouseError(
                    f"The store ignores {condition}: it replaced {self._stored.address} against "
                    "that condition, so it can't keep two writers of a topic apart",
                    "Use a store, or a version of it, that honours conditional puts, and look for "
                    "a proxy that removes the header on the way",
                )

    def _take(self) -> None:
        started = seconds()
        self._ends = started + self._lease.lease_seconds
        while seconds() < self._ends:
            version = self._stored.read()
            held = version and self._lease_in(version)
            if version and held:
                if held.holder == self._lease.holder:
                    self._etag = version.etag
                    return
                self._refuse_unless_over(version, held)
            self._etag = version.etag if version else None
            if self._put(replace(self._lease, fencing=held.fencing + 1 if held else 1)):
                return
        raise LakehouseError(
            f"The lock on {self._topic} could not be taken within its lease of "
            f"{self._lease.lease_seconds:g} s",
            "Run the same command again",
        )

    def _refuse_unless_over(self, version: Version, held: Lease) -> None:
        if held.released:
            return
        left = held.lease_seconds + STORE_CLOCK_SECONDS - version.age_seconds
        if left > 0:
            ends = datetime.now(UTC) + timedelta(seconds=left)
            raise LakehouseError(
                f"{self._topic} has another writer: {held.holder}, since "
                f"{held.acquired_at:%Y-%m-%d %H:%M:%S} UTC, with a lease until {ends:%H:%M:%S} UTC "
                "that it renews while it runs",
                "Wait for it to end, then run the same command again. If it has died, its lock is "
                "taken over after that time; nothing needs deleting",
            )
        log.warning("taking over the lock of a writer that is gone", extra=self._about(held.holder))

    def _put(self, lease: Lease) -> bool:
        """Replace the version that was seen last; False if it is another by now."""
        started = seconds()
        self._lease = lease
        etag = self._stored.replace(self._etag, msgspec.json.encode(lease).decode())
        if etag:
            self._etag, self._ends = etag, started + lease.lease_seconds
        return bool(etag)

    def _keep(self) -> None:
        third = self._lease.lease_seconds / 3
        pause = third
        while not self._loss and not self._is_over.wait(pause):
            try:
                pause = third if self._renew() else 0
            except NotALeaseError as error:
                self._loss = str(error)
            except Exception as error:
                # Whatever it is: without this thread the lock would end in silence.
                pause = third / 10
                log.warning("lock not renewed; trying again", extra=self._about(cause=_said(error)))
        if self._loss:
            log.error("lock lost", extra=self._about(cause=self._loss))

    def _renew(self) -> bool:
        """False if it has to be tried again."""
        if seconds() >= self._ends:
            self._loss = "its lease ended before it could be renewed"
            return False
        if self._put(replace(self._lease, renewals=self._lease.renewals + 1)):
            return True
        version = self._stored.read()
        held = version and self._lease_in(version)
        if version and held and held.holder == self._lease.holder:
            # An earlier renewal got there, and its answer did not get here.
            self._etag = version.etag
        else:
            self._loss = f"{held.holder} took it over" if held else "its object was deleted"
        return False

    def _lease_in(self, version: Version) -> Lease:
        try:
            return msgspec.json.decode(version.body, type=Lease)
        except (msgspec.MsgspecError, ValueError) as error:
            raise NotALeaseError(
                f"{self._stored.address} holds no lock of ours: {error}",
                "Delete it, or move it elsewhere, once no job writes; then run the same command "
                "again, which makes a new one",
            ) from None

    def _about(self, holder: Holder | None = None, **more: object) -> dict[str, object]:
        return {"topic": self._topic, "holder": str(holder or self._lease.holder), **more}


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, LakehouseError) else cause_of(error)
