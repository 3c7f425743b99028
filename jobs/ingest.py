"""Kafka -> raw.*, staging.stg_*, ops.duplicates, ops.dead_letters

spark-submit jobs/ingest.py [--accept-gap TOPIC/PARTITION:FIRST-LAST]...
                            [--accept-new-topic TOPIC:NUMBER:ID]... [--why "..."]

What can be accepted is named by the refusal, with the whole command.
"""

import time
from typing import Annotated

import typer
from pyspark.sql import SparkSession

from lakehouse.console import as_help, command_line, option_of, print_table
from lakehouse.iceberg.catalog import current_snapshot
from lakehouse.ingest.acceptance import Acceptance, NamedGap, NamedTopic
from lakehouse.ingest.run import ingest
from lakehouse.job import run
from lakehouse.settings import Settings
from lakehouse.tables.definitions import TABLES

app = command_line()


@app.command(help=as_help(__doc__))
def main(
    accept_gap: Annotated[
        list[NamedGap],
        option_of(
            NamedGap.of,
            "TOPIC/PARTITION:FIRST-LAST",
            help="Go on without offsets that Kafka lost before they were taken in; recorded with "
            "--why.",
        ),
    ] = [],  # noqa: B006 (typer copies it)
    accept_new_topic: Annotated[
        list[NamedTopic],
        option_of(
            NamedTopic.of,
            "TOPIC:NUMBER:ID",
            help="Go on where a topic was deleted and made anew, or has moved to another cluster, "
            "from its beginning; recorded with --why.",
        ),
    ] = [],  # noqa: B006
    why: Annotated[str, typer.Option(help="The reason, which each audit shows.")] = "",
) -> None:
    if (accept_gap or accept_new_topic) and not why.strip(" ."):
        raise typer.BadParameter("--why must say the reason for which this is accepted")
    acceptance = Acceptance(tuple(accept_gap), tuple(accept_new_topic), why)
    run("ingest", lambda spark, settings: ingest_and_report(spark, settings, acceptance))


def ingest_and_report(spark: SparkSession, settings: Settings, acceptance: Acceptance) -> None:
    started = time.monotonic()
    reports = ingest(spark, settings, acceptance).values()
    print_table(
        ["topic", "read", "staged", "duplicate", "dead", "already in tables"],
        (
            [report.topic, each.read, each.staged, each.duplicate, each.dead, each.seen]
            for report in reports
            for each in [report.total]
        ),
    )
    if retries := max(report.retries for report in reports):
        print(f"began again {retries} times after failures that passed")
    if again := sum(report.total.appended_again for report in reports):
        print(f"appended again {again} times after other commits")
    for waiting in (each for report in reports for each in report.waiting):
        print(waiting)
    for table in TABLES:
        if snapshot := current_snapshot(spark, table):
            print(f"{table.name} is at snapshot {snapshot}")
    print(f"done in {time.monotonic() - started:.1f} s")


if __name__ == "__main__":
    app()
