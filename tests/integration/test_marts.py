"""Messages in any order -> restated marts, which equal what DuckDB makes of the same messages."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from random import Random
from threading import Event, Thread

import pytest
from expected_marts import expected_marts
from shop import PRODUCT_METADATA, STG_USER_EVENTS, USER_EVENTS

from generator.events import Plan, Traffic
from generator.messages import Message
from generator.progress import Progress
from generator.publish import Publisher
from lakehouse.ingest.run import ingest
from lakehouse.kafka.offsets import OffsetRange
from lakehouse.maintenance.compact import compact
from lakehouse.replay.run import replay
from lakehouse.replay.slices import Asked

# Days on which no other test has an event.
FIRST_DAY, LAST_DAY = date(2025, 5, 1), date(2025, 5, 4)
NEW_YORK = "America/New_York"
WHOLE_DAY = f"""
    SELECT count(*), sum(net_revenue) FROM marts.product_category_revenue
    WHERE event_date = DATE '{FIRST_DAY}'
"""


class Shop:
    """Traffic of its own products and users, and what the marts must show for it."""

    def __init__(self, settings, command, query):
        self._settings = settings
        self._command = command
        self.query = query
        self.events: list[str] = []
        self.products: list[str] = []

    def traffic(self, seed: int) -> list[Message]:
        """Without deletions, which change no mart."""
        start = datetime.combine(FIRST_DAY, datetime.min.time(), UTC)
        traffic = Traffic(Plan(1200, 60, 80, 4, start, bad_rate=0, seed=seed))
        made = [*traffic.catalog.initial(start), *traffic.messages()]
        return [_own(message) for message in made if message.value is not None]

    def send(self, messages: list[Message]) -> None:
        publisher = Publisher(self._settings.kafka_bootstrap_servers)
        publisher.send(messages, Progress(len(messages)))
        publisher.finish()
        for message in messages:
            kept = self.events if message.topic == USER_EVENTS.topic else self.products
            kept.append(message.value.decode())

    def build(self, **variables: str | int) -> str:
        return self._command(
            "dbt", "run", "--exclude=analytics", f"--vars={json.dumps(variables)}"
        ).stdout

    def assert_marts_are_exact(self, zone: str = "UTC", without: str = "") -> None:
        events = [event for event in self.events if event != without]
        for mart, rows in expected_marts(events, self.products, zone).items():
            found = self.query(
                f"SELECT * FROM marts.{mart} WHERE event_date BETWEEN"
                f" DATE '{FIRST_DAY}' - INTERVAL '1' DAY AND DATE '{LAST_DAY}' + INTERVAL '1' DAY"
            )
            assert {tuple(row) for row in found} == rows, mart
            assert len(found) == len(rows) > 0

    def last_restated(self) -> dict[str, list[str]]:
        """Mart -> the days that the last build restated."""
        rows = self.query("""
            SELECT mart, transform(max_by(touched_days, built_at), day -> cast(day AS varchar))
            FROM ops.mart_builds GROUP BY mart
        """)
        return dict(rows)

    @contextmanager
    def reader(self) -> Iterator[set[tuple]]:
        """Looks at a day in a loop; yields the set of what was seen, complete at the end."""
        seen: set[tuple] = set()
        done = Event()

        def look() -> None:
            while not done.is_set():
                seen.update(map(tuple, self.query(WHOLE_DAY)))

        thread = Thread(target=look)
        thread.start()
        try:
            yield seen
        finally:
            done.set()
            thread.join()


def _own(message: Message) -> Message:
    key, value = (
        part and part.replace(b'"P', b'"marts-P').replace(b'"U', b'"marts-U')
        for part in (message.key and b'"' + message.key, message.value)
    )
    return Message(message.topic, key and key[1:], value)


@pytest.fixture(scope="module")
def shop(topics, settings, spark, command, query) -> Shop:
    """The first half of its traffic is in the marts."""
    shop = Shop(settings, command, query)
    shop.send(shop.traffic(seed=1))
    ingest(spark, settings)
    shop.build()
    shop.assert_marts_are_exact()
    return shop


def test_late_shuffled_and_redelivered_events_restate_their_days(shop, spark, settings):
    random = Random(2)
    messages = shop.traffic(seed=2) + random.sample(shop.traffic(seed=1), 100)
    random.shuffle(messages)
    shop.send(messages)
    ingest(spark, settings)
    before = shop.query(WHOLE_DAY)
    with shop.reader() as seen:
        shop.build()
    shop.assert_marts_are_exact()
    assert seen == {tuple(before[0]), tuple(shop.query(WHOLE_DAY)[0])}
    assert set(shop.last_restated()["same_day_purchasers"]) == {
        f"2025-05-0{day}" for day in (1, 2, 3, 4)
    }


def test_a_correction_restates_its_day_alone_and_a_moved_product_none(shop, spark, settings):
    """Compaction, which rewrites files of all days, restates none."""
    removed = shop.removed = next(event for event in shop.events if '"purchase"' in event)
    event_id, day = json.loads(removed)["event_id"], json.loads(removed)["event_timestamp"][:10]
    shop.position = shop.query(
        "SELECT kafka_partition, kafka_offset FROM staging.stg_user_events"
        f" WHERE event_id = '{event_id}'"
    )[0]
    compact(spark)
    spark.sql(f"DELETE FROM {STG_USER_EVENTS.identifier} WHERE event_id = '{event_id}'")
    product = json.loads(shop.products[-1])
    moved = {**product, "category": "Elsewhere", "updated_at": "2025-06-01T00:00:00Z"}
    key = product["product_id"].encode()
    shop.send([Message(PRODUCT_METADATA.topic, key, json.dumps(moved).encode())])
    ingest(spark, settings)
    shop.build()

    shop.assert_marts_are_exact(without=removed)
    assert shop.last_restated() == {
        "daily_product_activity": [day],
        "sales": [day],
        "same_day_purchasers": [day],
    }
    assert shop.query(
        "SELECT count(*) FROM marts.product_category_revenue WHERE category = 'Elsewhere'"
    ) > [[0]]
    assert not shop.query(
        "SELECT 1 FROM marts.product_category_revenue_as_sold WHERE category = 'Elsewhere'"
    )


def test_rows_of_a_recorded_build_come_again_from_its_snapshots(shop):
    """The build before the last, though staging and mart have moved on since."""
    (build,) = shop.query("""
        SELECT source_snapshots['stg_user_events'], mart_snapshot_id FROM ops.mart_builds
        WHERE mart = 'sales' ORDER BY built_at DESC OFFSET 1 LIMIT 1
    """)
    events, mart = build
    days = f"BETWEEN DATE '{FIRST_DAY}' AND DATE '{LAST_DAY}'"
    again = shop.query(f"""
        SELECT CAST(event_timestamp AS DATE), product_id, sum(price * quantity)
        FROM staging.stg_user_events FOR VERSION AS OF {events}
        WHERE event_type = 'purchase' AND CAST(event_timestamp AS DATE) {days} GROUP BY 1, 2
    """)
    recorded = """
        SELECT event_date, product_id, sum(amount) FROM {} WHERE NOT is_return AND event_date {}
        GROUP BY 1, 2
    """
    then = shop.query(recorded.format(f"marts.sales FOR VERSION AS OF {mart}", days))
    assert sorted(then) == sorted(again)
    assert sorted(then) != sorted(shop.query(recorded.format("marts.sales", days)))


def test_more_touched_days_than_sql_should_name_rebuild_the_mart(shop, spark, settings):
    shop.send(shop.traffic(seed=3))
    ingest(spark, settings)
    printed = shop.build(most_days_to_restate=3)
    assert "same_day_purchasers is rebuilt in full: 4 days were touched, more than 3" in printed
    shop.assert_marts_are_exact(without=shop.removed)
    assert set(shop.last_restated().values()) == {None}


def test_another_time_zone_rebuilds_all_marts_by_itself(shop, spark, settings):
    """So does the way back; an event that a replay restored restates its day in that zone too."""
    printed = shop.build(reporting_time_zone=NEW_YORK)
    assert "its code, or a variable in it, has changed" in printed
    partition, offset = shop.position
    replay(
        spark,
        settings,
        USER_EVENTS.topic,
        Asked(offsets=(OffsetRange(partition, offset, offset + 1),)),
    )
    assert "rebuilt in full" not in shop.build(reporting_time_zone=NEW_YORK)
    shop.assert_marts_are_exact(zone=NEW_YORK)
    shop.build()
    shop.assert_marts_are_exact()
    assert set(shop.last_restated().values()) == {None}


def test_a_mart_with_days_of_every_month_since_1970_is_written_at_once(shop):
    shop.query("""
        CREATE TABLE marts.every_month
        WITH (partitioning = ARRAY['month(event_date)'], sorted_by = ARRAY['event_date'])
        AS SELECT event_date
        FROM unnest(sequence(DATE '1970-01-01', CURRENT_DATE, INTERVAL '1' MONTH)) AS t (event_date)
    """)
    (months,) = shop.query('SELECT count(*) FROM marts."every_month$partitions"')[0]
    shop.query("DROP TABLE marts.every_month")
    assert months > 670
