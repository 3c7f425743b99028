"""Kafka, raw.*, staging.*, ops.* -> proof that each message is there exactly once

spark-submit jobs/audit.py [--full] [--json] [--ledger FILE]

Exit code 0 if all holds, 1 if not. Without --full it compares the offsets since the last audit
that held, and all offsets of a topic if others than our jobs have changed one of its tables since
then. The existence of all files of the current snapshots is checked either way. It refuses while an
ingest runs.
"""

import json
import sys
from dataclasses import asdict, fields
from pathlib import Path
from typing import Annotated

import typer
from pyspark.sql import SparkSession

from lakehouse.audit.conservation import PartitionCount
from lakehouse.audit.run import Audit, audit
from lakehouse.console import as_help, command_line, print_table
from lakehouse.job import run
from lakehouse.kafka.generations import recorded
from lakehouse.settings import Settings

app = command_line()


@app.command(help=as_help(__doc__))
def main(
    full: Annotated[bool, typer.Option("--full", help="Compare all offsets from 0 on.")] = False,
    as_document: Annotated[
        bool, typer.Option("--json", help="One JSON document instead of text.")
    ] = False,
    ledger: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="JSON lines {topic, partition, offset} of what a producer had acknowledged, in the"
            " topic as it is in Kafka now and by Kafka's numbers, each with the sha256 of the value"
            " if that is to be compared too; makes the audit full.",
        ),
    ] = None,
) -> None:
    run("audit", lambda *job: audit_and_report(*job, full, as_document, ledger))


def print_text(result: Audit, ledger: Path | None) -> None:
    columns = [field.name.replace("_", " ") for field in fields(PartitionCount)]
    print_table(columns, (partition.row() for partition in result.partitions))
    print(
        "all offsets" if result.is_full else "offsets since the last audit that held; --full: all"
    )
    if ledger:
        print(
            f"ledger: {result.acknowledged:,} acknowledged, "
            f"{result.not_yet_taken_in:,} of them not yet taken in"
        )
    for topic, changes in result.changes.items():
        for change in changes:
            print(f"changed by others, so all offsets of {topic} were compared: {change}")
    for topic, gaps in result.gaps.items():
        for gap in gaps:
            print(f"accepted gap: {topic}/{gap.partition} {gap.start:,}..{gap.end:,}: {gap.reason}")
    for topic, accepted in result.accepted_topics.items():
        for each in accepted:
            print(
                f"accepted new topic: {topic} generation {each.generation}, id {each.topic_id} on "
                f"cluster {each.cluster_id}, since {each.accepted_at:%Y-%m-%d %H:%M:%S} UTC, its "
                f"partition 0 recorded as {recorded(0, each.generation)}: {each.reason}"
            )
    for finding in result.findings:
        print(finding)
    print(f"verdict: {result.verdict}")


def as_json(result: Audit) -> str:
    # spark-submit puts Python's stderr on stdout, so an audit logs nothing of its own.
    return json.dumps(
        {
            **asdict(result),
            "gaps": {topic: [gap._asdict() for gap in gaps] for topic, gaps in result.gaps.items()},
            "accepted_topics": {
                topic: [each._asdict() for each in accepted]
                for topic, accepted in result.accepted_topics.items()
            },
            "messages": result.messages,
            "is_conserved": not result.findings,
            "verdict": result.verdict,
        },
        default=str,
    )


def audit_and_report(
    spark: SparkSession, settings: Settings, is_full: bool, as_document: bool, ledger: Path | None
) -> None:
    result = audit(spark, settings, is_full, ledger)
    if as_document:
        print(as_json(result))
    else:
        print_text(result, ledger)
    if result.findings:
        sys.exit(1)


if __name__ == "__main__":
    app()
