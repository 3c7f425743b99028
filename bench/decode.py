"""Kafka -> strict decoder | from_json -> nothing: what an event costs, in CPU time.

.venv/bin/python bench/decode.py [--events 1000000] [--rounds 5] [--json FILE]
"""

import json
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from statistics import median
from typing import Annotated, NamedTuple

import psutil
import typer
from confluent_kafka.admin import NewTopic
from events import message, user_events
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812
from rich.box import SIMPLE
from rich.table import Table
from services import broker, console, session, temporary_home

from generator.faults import FAULTS
from generator.messages import Message
from generator.progress import Progress
from generator.publish import Publisher, connect
from lakehouse.contracts import KAFKA_COLUMNS
from lakehouse.contracts.topics.user_events import CONTRACT as USER_EVENTS
from lakehouse.errors import reported
from lakehouse.kafka.records import SOURCE_COLUMNS
from lakehouse.messages.decode import MESSAGE_COLUMNS, decode

CLEAN, POISON = "clean", "poison"
COST_LIMIT, SPEED_LIMIT = 1.10, 1 / 3
# The message itself, for the tables of raw.
MESSAGE = [field.name for field in KAFKA_COLUMNS + MESSAGE_COLUMNS]
# from_json can have all staged columns but `extra`, the fields that it does not know.
STAGED = [field.name for field in USER_EVENTS.columns if field.name != "extra"] + MESSAGE
DEAD = ["error_class", "error_detail", *MESSAGE]
# A STRING keeps the text of the object unchanged, as staging does.
EVENT = """event_id STRING, user_id STRING, product_id STRING, event_type STRING,
           event_timestamp TIMESTAMP, event_data STRING"""


def messages(topic: str, count: int) -> Iterator[Message]:
    random = Random(3)
    for number, event in enumerate(user_events(count, seed=1 if topic == CLEAN else 2)):
        clean = message(event, topic)
        spoil = FAULTS[number % len(FAULTS)]
        yield clean if topic == CLEAN else clean._replace(value=spoil(event, random))


def fill(servers: str, counts: dict[str, int]) -> None:
    admin = connect(servers)  # kept until the end: without its client, an answer never comes
    for created in admin.create_topics([NewTopic(topic, 4, 1) for topic in counts]).values():
        created.result()
    publisher = Publisher(servers)
    with Progress(sum(counts.values())) as progress:
        for topic, count in counts.items():
            publisher.send(messages(topic, count), progress)
        publisher.finish()


def topic_records(spark: SparkSession, servers: str, topic: str) -> DataFrame:
    """A whole topic; Spark prunes the columns that a variant leaves out."""
    options = {"kafka.bootstrap.servers": servers, "subscribe": topic, "includeHeaders": "true"}
    offsets = {"startingOffsets": "earliest", "endingOffsets": "latest"}
    return spark.read.format("kafka").options(**options, **offsets).load()


def kafka_only(records: DataFrame) -> DataFrame:
    return records.withColumn("headers", F.to_json("headers")).select(*SOURCE_COLUMNS)


def _events(records: DataFrame) -> DataFrame:
    renamed = dict(zip(SOURCE_COLUMNS, MESSAGE, strict=True))
    event = F.from_json(F.col("value").cast("string"), EVENT)
    parsed = kafka_only(records).withColumnsRenamed(renamed).withColumn("event", event)
    return parsed.select("event.*", *MESSAGE)


def from_json_twice(records: DataFrame) -> DataFrame:
    data = F.from_json("event_data", "price DECIMAL(18, 6), quantity INT")
    return _events(records).withColumn("data", data).select("*", "data.*").select(STAGED)


def from_json(records: DataFrame) -> DataFrame:
    """About as cheap as a second from_json; get_json_object for the two fields costs more."""
    data = F.json_tuple("event_data", "price", "quantity").alias("price", "quantity")
    # A plain cast would stop the job at the first text that is no number.
    price = F.col("price").try_cast("decimal(18, 6)")
    typed = {"price": price, "quantity": F.col("quantity").try_cast("int")}
    return _events(records).select("*", data).withColumns(typed).select(STAGED)


def strict(records: DataFrame) -> DataFrame:
    return decode(records, USER_EVENTS).where("error_class IS NULL").select(STAGED)


def strict_dead(records: DataFrame) -> DataFrame:
    return decode(records, USER_EVENTS).where("error_class IS NOT NULL").select(DEAD)


FROM_JSON = ("from_json twice", "from_json + json_tuple")
STRICT, ALL_BAD = "strict", "strict, all bad"
VARIANTS = {
    "kafka only": (CLEAN, kafka_only),
    FROM_JSON[0]: (CLEAN, from_json_twice),
    FROM_JSON[1]: (CLEAN, from_json),
    STRICT: (CLEAN, strict),
    ALL_BAD: (POISON, strict_dead),
}


def wrong_outputs(records: dict[str, DataFrame], counts: dict[str, int]) -> list[str]:
    """All variants of the clean topic give the same rows; the hash is over all their columns."""
    rows = F.sum(F.xxhash64(*STAGED).cast("decimal(38, 0)"))
    answer = (F.count("event_id"), F.sum("price"), rows)
    (expected,) = from_json(records[CLEAN]).agg(*answer).collect()
    wrong = [] if expected[0] == counts[CLEAN] else [f"from_json finds {expected[0]} events"]
    for variant in (from_json_twice, strict):
        (found,) = variant(records[CLEAN]).agg(*answer).collect()
        if found != expected:
            wrong.append(f"{variant.__name__} gives {[*found]}, from_json {[*expected]}")
    tally = decode(records[POISON], USER_EVENTS).agg(F.count("error_class"), F.count("event_id"))
    ((rejected, accepted),) = tally.collect()
    if (rejected, accepted) != (counts[POISON], 0):
        wrong.append(f"bad messages: {rejected} of {counts[POISON]} rejected, {accepted} accepted")
    return wrong


class Cost(NamedTuple):
    """Seconds of one job: CPU of Spark's JVM and of the Python workers under it, and wall."""

    jvm: float
    python: float
    wall: float

    @property
    def cpu(self) -> float:
        return self.jvm + self.python


def cpu_times(jvm: psutil.Process) -> dict[psutil.Process, float]:
    return {p: sum(p.cpu_times()[:2]) for p in (jvm, *jvm.children(recursive=True))}


def spent(jvm: psutil.Process, before: dict[psutil.Process, float]) -> tuple[float, float]:
    """CPU seconds of the JVM and of the Python workers since then, process by process.

    Not as a difference of sums: pyspark.daemon ignores SIGCHLD, so no parent inherits the time of
    a worker that has ended. The workers of a job are alive at its end; Spark ends others, after a
    minute without work.
    """
    seconds = {p: after - before.get(p, 0) for p, after in cpu_times(jvm).items()}
    jvm_seconds = seconds.pop(jvm)
    return jvm_seconds, sum(seconds.values())


def cost(jvm: psutil.Process, rows: DataFrame) -> Cost:
    before, started = cpu_times(jvm), time.monotonic()
    rows.write.format("noop").mode("overwrite").save()
    wall = time.monotonic() - started
    return Cost(*spent(jvm, before), wall)


def measure(
    spark: SparkSession, records: dict[str, DataFrame], rounds: int
) -> dict[str, list[Cost]]:
    """One round to warm up, then the others; no variant always follows the same one."""
    java = spark._jvm.java.lang  # type: ignore[union-attr]
    jvm = psutil.Process(java.ProcessHandle.current().pid())
    costs: dict[str, list[Cost]] = {name: [] for name in VARIANTS}
    for number in range(rounds + 1):
        names = Random(number).sample(list(VARIANTS), len(VARIANTS))
        for name in names:
            topic, variant = VARIANTS[name]
            measured = cost(jvm, variant(records[topic]))
            costs[name] += [measured] if number else []
        console.print(f"round {number} of {rounds}{'' if number else ', warm-up'}: done")
    return costs


def show(costs: dict[str, list[Cost]], counts: dict[str, int]) -> None:
    """Ratios are to the cheaper from_json of this run, within a round, whose noise both share."""
    table = Table("variant", box=SIMPLE, caption="CPU in us/event, medians", caption_justify="left")
    for heading in ("events", "CPU", "min..max", "JVM", "Python", "per CPU-s", "per s", "ratio"):
        table.add_column(heading, justify="right")
    cpu: dict[str, list[float]] = {}
    for name, rounds in costs.items():
        events = counts[VARIANTS[name][0]]
        cpu[name] = [each.cpu / events * 1e6 for each in rounds]
    baseline = min(FROM_JSON, key=lambda name: median(cpu[name]))
    ratios = {name: _ratio(cpu[name], cpu[baseline]) for name in cpu}
    for name, rounds in costs.items():
        events = counts[VARIANTS[name][0]]
        low, middle, high = min(cpu[name]), median(cpu[name]), max(cpu[name])
        jvm, python, wall = (median(seconds) / events for seconds in zip(*rounds, strict=True))
        figures = (
            f"{events:,} {middle:.2f} {low:.2f}..{high:.2f} {jvm * 1e6:.2f} {python * 1e6:.2f}"
        )
        figures += f" {1e6 / middle:,.0f} {1 / wall:,.0f} {ratios[name]:.2f}"
        table.add_row(name, *figures.split())
    console.print(table)
    within = "within" if ratios[STRICT] <= COST_LIMIT else "above"
    console.print(f"strict / {baseline}: {ratios[STRICT]:.2f}, {within} the limit of {COST_LIMIT}")
    speed = _ratio(cpu[STRICT], cpu[ALL_BAD])
    within = "within" if speed >= SPEED_LIMIT else "below"
    console.print(f"speed all bad / clean: {speed:.2f}, {within} the limit of at least 1/3")


def _ratio(these: list[float], those: list[float]) -> float:
    return median(a / b for a, b in zip(these, those, strict=True))


def main(
    events: Annotated[int, typer.Option(min=100)] = 1_000_000,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    file: Annotated[Path | None, typer.Option("--json", help="For the costs by round.")] = None,
) -> None:
    """What strictness costs beside from_json. Exit code 1 if an output is wrong, never for time."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("error: terminated; the broker is stopped"))
    counts = {CLEAN: events, POISON: events // 4}
    with temporary_home("bench-decode-") as home, broker(home) as servers:
        fill(servers, counts)
        with session(home) as spark:
            records = {topic: topic_records(spark, servers, topic) for topic in counts}
            if wrong := wrong_outputs(records, counts):
                sys.exit(f"error: {'; '.join(wrong)}")
            costs = measure(spark, records, rounds)
    show(costs, counts)
    if file:
        seconds = {name: [each._asdict() for each in rounds] for name, rounds in costs.items()}
        file.write_text(json.dumps({"events": counts, "seconds": seconds}, indent=2) + "\n")


if __name__ == "__main__":
    with reported():
        typer.run(main)
