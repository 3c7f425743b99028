"""A topic is one file: what follows from tests/topics/orders.py, with nothing else edited."""

import json
import shutil
import subprocess
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from lakehouses import Lakehouse

from lakehouse.stack import processes
from lakehouse.stack.home import REPOSITORY
from lakehouse.stack.services import Trino

ORDERS = Path(__file__).parents[1] / "topics/orders.py"
PLACED = {
    "change_id": "c1",
    "order_id": "o1",
    "customer_id": "u1",
    "status": "placed",
    "changed_at": "2026-03-05T10:00:00+02:00",
    "total": 19.90,
    "shipping": {"country": "NO", "is_express": True, "floor": 3},
    "coupon": "SPRING",
}
SHIPPED = {
    "change_id": "c2",
    "order_id": "o1",
    "status": "shipped",
    "changed_at": "2026-03-07T08:00:00Z",
    "shipping": {"country": "NO"},
}
# Offset -> what becomes of it.
MESSAGES = [
    PLACED,
    SHIPPED,
    # Once more, with its fields in another order and a number in another form.
    dict(reversed((PLACED | {"total": 19.9}).items())),
    # Weeks late.
    SHIPPED | {"change_id": "c3", "order_id": "o2", "changed_at": "2026-01-31T23:59:59Z"},
    # The same change, of another amount.
    PLACED | {"total": 1},
    SHIPPED | {"change_id": "c5", "status": "returned"},
    SHIPPED | {"change_id": "c6", "status": "paid"},
    PLACED | {"change_id": "c7", "shipping": {"country": "NO", "is_express": "yes"}},
    PLACED | {"change_id": "c8", "total": 19.9000001},
]
DEAD = {
    4: ("DUPLICATE_CONFLICT", "change_id: another event has this id, and other content"),
    5: ("UNKNOWN_VALUE", "status: must be one of placed, paid, shipped"),
    6: ("MISSING_FIELD", "total: placed and paid need total"),
    7: ("WRONG_TYPE", "shipping.is_express: has another type than the contract says"),
    8: ("DECIMAL_SCALE", "total: at most 12 digits before, 6 after the dot"),
}


class Shop:
    """A copy of the repository in which a file more is a topic more."""

    def __init__(self, lakehouse: Lakehouse, folder: Path):
        self._lakehouse, self.folder = lakehouse, folder
        for name in ("lakehouse", "jobs", "conf", "docs", "dbt"):
            ignored = shutil.ignore_patterns("__pycache__", "target", "logs", "dbt_packages")
            shutil.copytree(REPOSITORY / name, folder / name, ignore=ignored)
        self.contract = folder / "lakehouse/contracts/topics/orders.py"
        shutil.copy(ORDERS, self.contract)
        lakehouse.create_topic("orders", partitions=1)

    def produce(self, *messages: dict | None) -> None:
        for message in messages:
            key = message["order_id"] if message else "o2"
            value = None if message is None else json.dumps(message)
            self._lakehouse.produce(value, topic="orders", key=key)

    def run(self, *words: str) -> str:
        environment = self._lakehouse.home.environment | {
            "PYTHONPATH": str(self.folder),
            "DBT_PROJECT_DIR": str(self.folder / "dbt"),
            "DBT_PROFILES_DIR": str(self.folder / "dbt"),
        }
        done = subprocess.run(
            words, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    def rows(self, sql: str) -> list[tuple]:
        return [tuple(row) for row in self._lakehouse.spark.sql(sql).collect()]


@pytest.fixture(scope="module")
def shop(shared_lakehouse, tmp_path_factory):
    shop = Shop(shared_lakehouse, tmp_path_factory.mktemp("shop"))
    shop.produce(*MESSAGES, None)
    shop.run("spark-submit", "jobs/ingest.py")
    return shop


def test_its_columns_follow_from_the_file(shop):
    assert shop.rows("SELECT * FROM lake.staging.stg_orders WHERE kafka_offset = 0") == [
        (
            "c1",
            "o1",
            "u1",
            "placed",
            datetime(2026, 3, 5, 8),
            Decimal("19.900000"),
            json.dumps(PLACED["shipping"]),
            "NO",
            True,
            False,
            '{"coupon":"SPRING"}',
            0,
            0,
            *shop.rows("SELECT kafka_timestamp FROM lake.raw.orders WHERE offset = 0")[0],
        )
    ]
    fields = shop.rows("SHOW CREATE TABLE lake.staging.stg_orders")[0][0]
    assert "PARTITIONED BY (days(changed_at))" in fields


def test_each_message_is_staged_dead_or_a_duplicate(shop):
    raw = shop.rows("SELECT count(*), count(value) FROM lake.raw.orders")
    assert raw == [(len(MESSAGES) + 1, len(MESSAGES))]
    staged = shop.rows(
        "SELECT kafka_offset, order_id, is_deleted FROM lake.staging.stg_orders ORDER BY 1"
    )
    assert staged == [(0, "o1", False), (1, "o1", False), (3, "o2", False), (9, "o2", True)]
    assert shop.rows(
        "SELECT offset, event_id, first_offset FROM lake.ops.duplicates WHERE topic = 'orders'"
    ) == [(2, "c1", 0)]
    dead = shop.rows(
        "SELECT offset, error_class, error_detail FROM lake.ops.dead_letters WHERE topic = 'orders'"
    )
    assert {offset: tuple(reason) for offset, *reason in dead} == DEAD


def test_a_change_that_comes_again_in_a_later_run_is_a_duplicate(shop):
    shop.produce(SHIPPED, None)
    shop.run("spark-submit", "jobs/ingest.py")
    assert shop.rows(
        "SELECT offset, first_offset FROM lake.ops.duplicates WHERE topic = 'orders' ORDER BY 1"
    ) == [(2, 0), (10, 1)]
    # Deleted again: a tombstone repeats nothing.
    deleted = "SELECT kafka_offset FROM lake.staging.stg_orders WHERE is_deleted ORDER BY 1"
    assert shop.rows(deleted) == [(9,), (11,)]


def test_a_wider_contract_brings_its_dead_letters_back(shop):
    text = shop.contract.read_text()
    shop.contract.write_text(text.replace('"shipped"', '"shipped", "returned"'))
    shop.run("spark-submit", "jobs/replay.py", "--topic", "orders")
    back = "SELECT change_id, status FROM lake.staging.stg_orders WHERE kafka_offset = 5"
    assert shop.rows(back) == [("c5", "returned")]
    assert shop.rows("SELECT offset FROM lake.ops.dead_letters WHERE outcome = 'replayed'") == [
        (5,)
    ]


def test_the_audit_proves_it_like_the_others(shop):
    audited = json.loads(shop.run("spark-submit", "jobs/audit.py", "--full", "--json"))
    assert audited["is_conserved"]
    orders = [each for each in audited["partitions"] if each["topic"] == "orders"]
    assert [(each["staged"], each["dead"], each["duplicate"]) for each in orders] == [(6, 4, 2)]


def test_its_schema_is_written(shop):
    shop.run("python", "-m", "lakehouse.contracts")
    schema = json.loads((shop.folder / "docs/contracts/orders.v1.json").read_text())
    assert schema["properties"]["customer_id"] == {
        "type": ["string", "null"],
        "minLength": 1,
        "description": "Who ordered; null for a guest.",
        "x-personal": True,
    }


@pytest.fixture(scope="module")
def trino(shop, shared_lakehouse):
    service = Trino(shared_lakehouse.home)
    shared_lakehouse.home.move_taken_ports(service.ports)
    processes.start(service, print)
    yield service
    processes.stop([service], print)


def test_its_first_mart_is_built_of_dbts_new_source(shop, trino):
    for file in ("revenue_by_country.sql", "revenue_by_country.yml"):
        shutil.copy(ORDERS.with_name(file), shop.folder / "dbt/models/analytics")
    shop.run("dbt", "build", "--select", "revenue_by_country")
    with trino.connect() as connection:
        cursor = connection.cursor().execute("SELECT * FROM analytics.revenue_by_country")
        assert cursor.fetchall() == [["NO", Decimal("19.900000"), 1]]
