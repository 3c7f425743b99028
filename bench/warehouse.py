"""Events -> staging by ingest -> marts by dbt: each step by its command, with what it cost."""

import json
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from bench.account import Job
from bench.events import FIRST_DAY, message, user_events
from bench.produce import PARTITIONS, Expected, produce
from generator.messages import Message, encode
from generator.progress import Progress
from generator.publish import Publisher, connect, create_topics
from lakehouse.contracts.topics.product_metadata import CONTRACT as PRODUCT_METADATA
from lakehouse.contracts.topics.user_events import CONTRACT as USER_EVENTS
from lakehouse.errors import LakehouseError
from lakehouse.stack import processes
from lakehouse.stack.home import REPOSITORY, Home
from lakehouse.stack.services import Trino
from lakehouse.tables.definitions import staging_table

STG_USER_EVENTS = staging_table(USER_EVENTS)
CATEGORIES = 40
TIMEOUT_SECONDS = 3600


@dataclass(frozen=True)
class Built:
    """One `dbt build`, tests included, and which days its marts restated (None: all of them)."""

    rows: int
    tables: str
    step: str
    wall_seconds: float
    trino_cpu_seconds: float
    dbt_cpu_seconds: float
    restated_days: dict[str, list[str] | None]
    # Of each model, by name.
    models: dict[str, float]
    # That dbt sent to Trino.
    statements: int
    # Of each mart that this build wrote to: what Iceberg counts in the snapshot's summary.
    written: dict[str, dict[str, int]]


class Warehouse:
    """Kafka filled with so many events, ingest, `dbt build`, and questions to Trino."""

    def __init__(self, home: Home, a_day: int, ingests: int):
        self._home = home
        self._ingests = ingests
        self._target = home.path / "dbt-target"
        self._environment = home.environment | {"DBT_TARGET_PATH": str(self._target)}
        self._late = self._moves = 0
        self.expected = Expected(a_day=a_day)

    def run(self, log: str, *words: str) -> float:
        """CPU-seconds of a command that must succeed."""
        path = self._home.path / "logs" / f"{log}.log"
        job = Job(list(words), REPOSITORY, self._environment, path)
        cost = job.finish(TIMEOUT_SECONDS)
        if cost.exit_code:
            tail = "\n".join(path.read_text().splitlines()[-15:])
            raise LakehouseError(f"`{' '.join(words)}` failed:\n{tail}", "See above")
        return cost.cpu_seconds

    def query(self, sql: str) -> tuple[list[list[Any]], dict[str, Any]]:
        with Trino(self._home).connect() as connection:
            cursor = connection.cursor()
            rows = cursor.execute(sql).fetchall()
            return rows, cursor.stats

    def fill(self, rows: int) -> None:
        """Staging has so many events afterwards."""
        if not self.expected.messages:
            admin = connect(self._home.exports["KAFKA_BOOTSTRAP_SERVERS"])
            create_topics(admin, PARTITIONS, replicas=1)
            at = (FIRST_DAY - timedelta(days=31)).isoformat()
            self._send(_products(range(5000), "Category", at))
        for left in range(self._ingests, 0, -1):
            produce(self._home, (rows - self.expected.messages) // left, before=self.expected)
            self.run("ingest", "spark-submit", "jobs/ingest.py")
        ((found,),), _ = self.query(f"SELECT count(*) FROM {STG_USER_EVENTS.name}")  # noqa: S608
        if found != rows + self._late:
            raise LakehouseError(f"{found:,} rows are staged instead of {rows:,}", "See the log")

    def send_late(self, days_back: int) -> None:
        """One purchase, of a day that lies so far before the last."""
        seed = 10**6 + self._late
        (event,) = user_events(1, seed, self.expected.messages, self.expected.a_day)
        event["event_timestamp"] -= timedelta(days=days_back)
        self._late += 1
        self._send([message(event | {"event_type": "purchase"})])
        self.run("ingest", "spark-submit", "jobs/ingest.py")

    def move_products(self) -> None:
        """Nine of them to another category, as a day's work of a catalogue of 5,000."""
        self._moves += 1
        at = (FIRST_DAY + timedelta(days=self._moves)).isoformat()
        self._send(_products(range(0, 4500, 500), f"Moved {self._moves}", at))
        self.run("ingest", "spark-submit", "jobs/ingest.py")

    def _send(self, messages: list[Message]) -> None:
        publisher = Publisher(self._home.exports["KAFKA_BOOTSTRAP_SERVERS"])
        publisher.send(messages, Progress(len(messages)))
        publisher.finish()

    def build(self, tables: str, step: str, *options: str) -> Built:
        newest = self._snapshots()
        before, started = self._trino_cpu(), time.monotonic()
        dbt = self.run("dbt", "dbt", "--quiet", "build", *options)
        wall, trino_cpu = time.monotonic() - started, self._trino_cpu() - before
        ran = json.loads((self._target / "run_results.json").read_text())["results"]
        models = {
            each["unique_id"].rsplit(".", 1)[1]: each["execution_time"]
            for each in ran
            if each["unique_id"].startswith("model.")
        }
        plans, _ = self.query("""
            SELECT mart, max_by(touched_days, built_at) FROM ops.mart_builds
            WHERE invocation_id = (SELECT max_by(invocation_id, built_at) FROM ops.mart_builds)
            GROUP BY mart
        """)
        written = {
            mart: summary
            for mart, (snapshot, summary) in self._snapshots().items()
            if snapshot != newest.get(mart, (None,))[0]
        }
        days = {mart: days and [day.isoformat() for day in days] for mart, days in plans}
        return Built(
            self.expected.messages,
            tables,
            step,
            wall,
            trino_cpu,
            dbt,
            days,
            models,
            self._statements(),
            written,
        )

    def _statements(self) -> int:
        """How many the last run of dbt sent."""
        rows, _ = self.query("""
            SELECT count(*) FROM system.runtime.queries WHERE query LIKE '/* {"app": "dbt"%'
            GROUP BY regexp_extract(query, '"invocation_id": "([^"]+)"', 1)
            ORDER BY max(created) DESC LIMIT 1
        """)
        return int(rows[0][0])

    def _trino_cpu(self) -> float:
        server = processes.find(Trino(self._home))
        if not server:
            raise LakehouseError("Trino has ended", f"See {Trino(self._home).log}")
        return sum(server.cpu_times()[:2])

    def _snapshots(self) -> dict[str, tuple[int, dict[str, int]]]:
        """Mart -> its newest snapshot, and how many files and rows that added and removed."""
        found = {}
        tables, _ = self.query(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'marts'"
        )
        for (table,) in tables:
            rows, _ = self.query(
                f'SELECT snapshot_id, summary FROM marts."{table}$snapshots"'  # noqa: S608
                " ORDER BY committed_at DESC LIMIT 1"
            )
            for snapshot, summary in rows:
                counts = {
                    name: int(value)
                    for name, value in summary.items()
                    if name.startswith(("added-", "deleted-")) and value.isdigit()
                }
                found[table] = snapshot, counts
        return found

    def one_user_day(self) -> dict[str, Any]:
        """What Trino reads of staging for all events of one user on one day."""
        found, _ = self.query(f"SELECT * FROM {STG_USER_EVENTS.name} WHERE user_id <> '' LIMIT 1")  # noqa: S608
        columns = STG_USER_EVENTS.column_names
        event = dict(zip(columns, found[0], strict=True))
        user, day = event["user_id"], event["event_timestamp"].date()
        rows, stats = self.query(f"""
            SELECT event_id, event_type, event_timestamp, event_data FROM {STG_USER_EVENTS.name}
            WHERE user_id = '{user}'
                AND event_timestamp >= TIMESTAMP '{day} 00:00:00 UTC'
                AND event_timestamp < TIMESTAMP '{day + timedelta(days=1)} 00:00:00 UTC'
        """)  # noqa: S608
        files, size = self.files()
        return {
            "rows": len(rows),
            "splits": stats["completedSplits"],
            "bytes_read": stats["physicalInputBytes"],
            "milliseconds": stats["elapsedTimeMillis"],
            "files_in_table": files,
            "bytes_in_table": size,
        }

    def reads(self) -> dict[str, float]:
        """Seconds to read all columns of a mart, a month and all days; the best of 3."""
        found = {}
        for mart in ("product_category_revenue", "top_viewed_products"):
            columns, _ = self.query(f"SHOW COLUMNS FROM marts.{mart}")
            row = ", ".join(name for name, *_ in columns)
            ((last,),), _ = self.query("SELECT max(event_date) FROM marts.calendar")
            month = f"event_date > DATE '{last}' - INTERVAL '30' DAY"
            for days, condition in (("a month", month), ("all days", "true")):
                sql = f"SELECT checksum(row({row})) FROM marts.{mart} WHERE {condition}"  # noqa: S608
                times = [self.query(sql)[1]["elapsedTimeMillis"] for _ in range(3)]
                found[f"{mart}, {days}"] = min(times) / 1000
        return found

    def files(self) -> tuple[int, int]:
        """How many hold staging's rows now, and their bytes."""
        listed = f'{STG_USER_EVENTS.name}$files"'.replace(".", '."')
        rows, _ = self.query(f"SELECT count(*), sum(file_size_in_bytes) FROM {listed}")  # noqa: S608
        ((files, size),) = rows
        return files, size


def _products(numbers: range, category: str, at: str) -> list[Message]:
    """Return a message for each of these products of the events, in CATEGORIES."""
    made = []
    for number in numbers:
        product = f"P{number:05d}"
        name = f"{category} {number % CATEGORIES}"
        value = {"product_id": product, "name": product, "category": name, "updated_at": at}
        made.append(Message(PRODUCT_METADATA.topic, product.encode(), encode(value)))
    return made
