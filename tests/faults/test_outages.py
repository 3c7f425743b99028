"""What stays true when a service fails in passing, or for good, while an ingest runs."""

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from threading import Timer

import pytest
from faults.proxy import Fault, FaultProxy, Rule, fault_proxy, share
from lakehouses import new_session
from shop import STG_USER_EVENTS

from lakehouse.errors import LakehouseError
from lakehouse.iceberg import branch_commit
from lakehouse.iceberg.catalog import catalog_properties, current_snapshot
from lakehouse.iceberg.table import Table
from lakehouse.ingest import writer as write
from lakehouse.maintenance.expire import expire
from lakehouse.stack import processes
from lakehouse.stack.services import Kafka, ObjectStore
from lakehouse.tables.append import append
from lakehouse.tables.create import create_missing
from lakehouse.tables.definitions import TABLES

EVENT = (
    '{{"event_id":"e{id}","user_id":"u","product_id":"P1","event_type":"view",'
    '"event_timestamp":"2026-03-05T10:00:00Z","event_data":{{}}}}'
)
AWAY_SECONDS = 2


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr("lakehouse.retry.LONGEST_WAIT_SECONDS", 1)


def altered(lakehouse, lease=60, retry_seconds=300, **catalog):
    """The same tables, by a session with other settings of the catalog."""
    session = new_session(lakehouse.spark, catalog_properties(lakehouse.spark) | catalog)
    update = {"writer_lease_seconds": lease, "retry_seconds": retry_seconds}
    return replace(lakehouse, spark=session, settings=lakehouse.settings.model_copy(update=update))


def behind(proxy: FaultProxy, lakehouse, retries: int, **settings):
    """The store is reached through the proxy, and Iceberg's own client tries so often again."""
    endpoint = f"http://127.0.0.1:{proxy.port}"
    catalog = {"s3.endpoint": endpoint, "s3.retry.num-retries": str(retries)}
    return altered(lakehouse, **settings, **catalog)


def produce(lakehouse, first: int, end: int) -> None:
    lakehouse.produce(*(EVENT.format(id=number) for number in range(first, end)), key="u")


def assert_conserved(lakehouse, events: int) -> None:
    """Each is there once, and nothing that was begun is left."""
    audit = lakehouse.audit()
    assert audit.verdict == f"conserved: {events} messages, each exactly once", audit.findings
    assert lakehouse.count("staging.stg_user_events") == events
    assert set().union(*(branches(lakehouse, table) for table in TABLES)) == {"main"}


def branches(lakehouse, table: Table) -> set[str]:
    return {row.name for row in lakehouse.spark.table(f"{table.identifier}.refs").collect()}


def retries(reports) -> int:
    (count,) = {report.retries for report in reports.values()}
    return count


def in_turn(matches: Callable[[bytes], bool], *faults: Fault) -> Rule:
    """Each of the faults once, at the requests that match."""
    left = list(faults)
    return lambda request: left.pop(0) if left and matches(request) else None


def before(monkeypatch, name: str, action: Callable[[], None]) -> None:
    """Do something once, just before lakehouse.write calls this function."""
    real, todo = getattr(write, name), [action]

    def first(*arguments):
        if todo:
            todo.pop()()
        return real(*arguments)

    monkeypatch.setattr(write, name, first)


def ingest_while_away(monkeypatch, lakehouse, moment: str, end, start) -> None:
    """Something is ended at a moment, as `before` has it, and started again after some time."""
    starting = []

    def restart() -> None:
        end()
        starting.append(Timer(AWAY_SECONDS, start))
        starting[0].start()

    before(monkeypatch, moment, restart)
    try:
        lakehouse.ingest()
    finally:
        for timer in starting:
            timer.join(60)
    assert len(starting) == 1


def kill(service) -> None:
    process = processes.find(service)
    process.kill()
    process.wait(10)


def test_requests_to_the_store_that_fail_are_repeated_by_its_client(lakehouse):
    produce(lakehouse, 0, 20)
    with fault_proxy(lakehouse.home.ports["s3"]) as proxy:
        proxy.rule = share(1, UNAVAILABLE=0.08, RESET_BEFORE=0.08, RESET_AFTER=0.08, DELAY=0.05)
        reports = behind(proxy, lakehouse, retries=8).ingest()
        assert min(proxy.counts.values()) > 0
        assert len(proxy.counts) == 5
    assert retries(reports) == 0
    assert_conserved(lakehouse, 20)


def test_a_run_whose_commits_fail_at_the_store_is_begun_again(lakehouse):
    create_missing(lakehouse.spark)
    produce(lakehouse, 0, 20)
    with fault_proxy(lakehouse.home.ports["s3"]) as proxy:
        proxy.rule = in_turn(
            lambda request: request.startswith(b"PUT") and b".metadata.json" in request,
            Fault.RESET_AFTER,
            Fault.UNAVAILABLE,
            Fault.RESET_BEFORE,
        )
        reports = behind(proxy, lakehouse, retries=0).ingest()
    assert retries(reports) >= 1
    assert_conserved(lakehouse, 20)


@pytest.mark.parametrize(("service", "moment"), [(ObjectStore, "append"), (Kafka, "BatchTasks")])
def test_a_service_that_is_killed_and_started_again_stops_nothing(
    lakehouse, services, monkeypatch, service, moment
):
    produce(lakehouse, 0, 20)
    victim = service(services)
    end, start = partial(kill, victim), partial(processes.start, victim, print)
    ingest_while_away(monkeypatch, altered(lakehouse), moment, end, start)
    assert_conserved(lakehouse, 20)


def test_a_catalog_that_others_hold_locked_is_tried_again(lakehouse, monkeypatch):
    produce(lakehouse, 0, 20)
    file = lakehouse.home.catalog_file
    locker = sqlite3.connect(file, check_same_thread=False, isolation_level=None)

    def lock():
        locker.execute("BEGIN EXCLUSIVE")
        Timer(AWAY_SECONDS, locker.execute, ("ROLLBACK",)).start()

    before(monkeypatch, "append", lock)
    impatient = altered(lakehouse, uri=f"jdbc:sqlite:{file}?busy_timeout=100")
    assert retries(impatient.ingest()) >= 1
    locker.close()
    assert_conserved(lakehouse, 20)


def test_answers_of_a_catalog_that_are_lost_double_nothing(lakehouse, database, monkeypatch):
    with fault_proxy(database.port, is_http=False) as proxy:
        uri = database.address.replace(f":{database.port}", f":{proxy.port}")
        lakehouse = altered(lakehouse, uri=uri)
        create_missing(lakehouse.spark)
        produce(lakehouse, 0, 20)
        proxy.rule = in_turn(
            lambda piece: b"UPDATE iceberg_tables" in piece,
            # Iceberg sends the first of them again, which fails too or is refused as too late.
            *[Fault.RESET_AFTER, Fault.RESET_BEFORE, None],
            *[Fault.RESET_AFTER, None],
        )
        lakehouse.ingest()
        assert proxy.counts[Fault.RESET_AFTER] == 2
        assert_conserved(lakehouse, 20)
        produce(lakehouse, 20, 40)
        before(monkeypatch, "append", database.end_connections)
        lakehouse.ingest()
        assert_conserved(lakehouse, 40)


def test_a_catalog_that_is_killed_and_started_again_stops_nothing(lakehouse, database, monkeypatch):
    lakehouse = altered(lakehouse, uri=database.address)
    create_missing(lakehouse.spark)
    produce(lakehouse, 0, 20)
    ingest_while_away(monkeypatch, lakehouse, "append", database.kill, database.start)
    assert_conserved(lakehouse, 20)


def test_an_append_that_maintenance_overtook_is_done_again(lakehouse, monkeypatch):
    produce(lakehouse, 0, 20)
    lakehouse.ingest()
    produce(lakehouse, 20, 40)

    def overtake():
        for table in TABLES:
            append(lakehouse.spark, table, [], current_snapshot(lakehouse.spark, table), {})

    before(monkeypatch, "append", overtake)
    reports = lakehouse.ingest()
    assert sum(each.total.appended_again for each in reports.values()) == 1
    assert retries(reports) == 0
    assert_conserved(lakehouse, 40)


def test_a_store_that_refuses_for_good_ends_the_run_at_once(lakehouse):
    lakehouse.create_tables()
    produce(lakehouse, 0, 20)
    with fault_proxy(lakehouse.home.ports["s3"]) as proxy:
        proxy.rule = lambda request: Fault.DENIED if b".parquet" in request else None
        with pytest.raises(LakehouseError, match=r"ACCESS_DENIED.*run the same command again"):
            behind(proxy, lakehouse, retries=8).ingest()
        proxy.rule = lambda request: Fault.UNAVAILABLE if b".parquet" in request else None
        with pytest.raises(LakehouseError, match=r"HTTP status 503.*run the same command again"):
            behind(proxy, lakehouse, retries=0, retry_seconds=3).ingest()
    lakehouse.ingest()
    assert_conserved(lakehouse, 20)


def test_a_store_that_is_away_for_the_lease_costs_the_lock(lakehouse):
    produce(lakehouse, 0, 20)
    seen = []

    def away_once_written_to(request: bytes) -> Fault | None:
        seen.extend([1] if b"raw-data" in request else [])
        return Fault.RESET_BEFORE if seen else None

    with fault_proxy(lakehouse.home.ports["s3"]) as proxy:
        proxy.rule = away_once_written_to
        with pytest.raises(LakehouseError, match=r"lock on .* is lost: its lease ended"):
            behind(proxy, lakehouse, retries=0, lease=2).ingest()
    lakehouse.ingest_when_free()
    assert_conserved(lakehouse, 20)


def test_a_store_that_ignores_conditions_is_found_out_before_anything_is_written(lakehouse):
    produce(lakehouse, 0, 20)
    create_missing(lakehouse.spark)
    before = lakehouse.snapshots()
    with fault_proxy(lakehouse.home.ports["s3"]) as proxy:
        proxy.rule = lambda request: Fault.CONDITION_IGNORED if b"/locks/" in request else None
        with pytest.raises(
            LakehouseError, match=r"The store ignores If-None-Match: it replaced s3"
        ):
            behind(proxy, lakehouse, retries=0).ingest()
        assert proxy.counts[Fault.CONDITION_IGNORED]
    assert lakehouse.snapshots() == before


def test_a_branch_that_was_left_behind_expires(lakehouse, monkeypatch):
    create_missing(lakehouse.spark)
    monkeypatch.setattr(branch_commit, "BRANCH_AGE_MS", 1)
    monkeypatch.setattr(branch_commit, "_remove", lambda *_: None)
    rows = lakehouse.spark.table(STG_USER_EVENTS.identifier)
    branch_commit.replace_rows(lakehouse.spark, STG_USER_EVENTS, None, rows, None)
    assert len(branches(lakehouse, STG_USER_EVENTS)) == 2
    expire(lakehouse.spark, timedelta(days=5))
    assert branches(lakehouse, STG_USER_EVENTS) == {"main"}


def test_dbt_waits_for_a_trino_that_is_started_again(stack, command, monkeypatch, tmp_path):
    with fault_proxy(stack.ports["trino"]) as proxy:
        proxy.rule = in_turn(lambda _: True, *4 * [Fault.RESET_BEFORE], Fault.UNAVAILABLE)
        monkeypatch.setenv("TRINO_PORT", str(proxy.port))
        folders = [f"--target-path={tmp_path}", f"--log-path={tmp_path}"]
        printed = command("dbt", "show", "--inline=SELECT 40 + 2 AS answer", *folders).stdout
    assert "42" in printed
    assert proxy.counts[Fault.RESET_BEFORE] == 4
