"""CDNOW's purchases through Kafka -> customers and cohorts, equal to what others published."""

import csv
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from generator.messages import Message, encode
from generator.progress import Progress
from generator.publish import Publisher
from lakehouse.contracts.topics.user_events import CONTRACT as USER_EVENTS

PACKAGE = Path(__file__).with_name("cdnow.txt")
# Fader and Hardie's cohorts of the first three months, and those of January by month.
COHORTS = {"1997-01-01": 7846, "1997-02-01": 8476, "1997-03-01": 7248}
JANUARY = [7846, 1157, 964, 810, 679, 736, 720, 582, 559, 594, 673, 634]
JANUARY += [528, 511, 664, 472, 497, 498]


@pytest.fixture(scope="module")
def published(home) -> Path:
    """The folder of the package's data, in an environment of its own in the cache."""
    environment = home.cache / "acceptance" / "cdnow"
    found = list(environment.glob("lib/*/site-packages/lifetimes/datasets"))
    if not found:
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        install = ("install", "--quiet", "--no-deps", "--require-hashes", "--requirement", PACKAGE)
        subprocess.run([environment / "bin/python", "-m", "pip", *install], check=True)
        found = list(environment.glob("lib/*/site-packages/lifetimes/datasets"))
    return found[0]


def purchases(lines: list[str]) -> Iterator[Message]:
    """A line has customer, date, count of discs and what they cost together."""
    for number, line in enumerate(lines[1:]):
        user, date, _, amount = line.split()
        day = f"{date[:4]}-{date[4:6]}-{date[6:]}"
        value = {
            "event_id": f"cdnow-{number}",
            "user_id": user,
            "product_id": "CDs",
            "event_type": "purchase",
            "event_timestamp": f"{day}T12:00:00Z",
            "event_data": {"price": float(amount), "quantity": 1},
        }
        yield Message(USER_EVENTS.topic, user.encode(), encode(value))


@pytest.fixture(scope="module")
def built(published, topics, settings, command) -> None:
    messages = list(purchases((published / "CDNOW_master.txt").read_text().splitlines()))
    assert len(messages) == 69_659
    publisher = Publisher(settings.kafka_bootstrap_servers)
    publisher.send(messages, Progress(len(messages)))
    publisher.finish()
    command("spark-submit", "jobs/ingest.py")
    command("dbt", "build", '--vars={"observation_end": "1997-09-30"}')


def test_customers_equal_the_published_summary_of_the_sample(built, published, query):
    sample = [line.split() for line in (published / "CDNOW_sample.txt").read_text().splitlines()]
    names = {user: int(number) for user, number, *_ in sample}
    with (published / "cdnow_customers_summary.csv").open() as file:
        expected = {
            (int(row["ID"]), int(row["frequency"]), float(row["recency"]), float(row["T"]))
            for row in csv.DictReader(file)
        }
    found = {
        (names[user], frequency, round(recency / 7, 2), round(age / 7, 2))
        for user, frequency, recency, age in query(
            "SELECT user_id, frequency, recency_days, age_days FROM marts.customers"
        )
        if user in names
    }
    assert len(expected) == 2357
    assert found == expected


def test_cohorts_equal_the_published_ones(built, query):
    rows = query("""
        SELECT CAST(cohort_month AS varchar), months_since, active_customers
        FROM marts.customer_cohorts ORDER BY 1, 2
    """)
    assert {cohort: active for cohort, months, active in rows if months == 0} == COHORTS
    assert sum(COHORTS.values()) == 23_570
    assert [active for cohort, _, active in rows if cohort == "1997-01-01"] == JANUARY
