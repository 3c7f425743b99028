"""raw.* -> staging.stg_*, ops.duplicates, ops.dead_letters, as the contract of today has them

spark-submit jobs/replay.py --topic TOPIC [--days FROM..TO] [--offsets PARTITION:FIRST-LAST]...
                            [--dry-run]

Days are those of the Kafka timestamp. TO and LAST are included. With both, both must hold; without,
all that raw holds of the topic is compared. Rows that are right stay untouched.
"""

from datetime import date
from typing import Annotated, NamedTuple

import typer
from pyspark.sql import SparkSession

from lakehouse.console import as_help, choice_of, command_line, option_of, print_table
from lakehouse.contracts import CONTRACTS
from lakehouse.job import run
from lakehouse.kafka.offsets import OffsetRange
from lakehouse.replay.run import replay
from lakehouse.replay.slices import Asked
from lakehouse.settings import Settings

app = command_line()


class Days(NamedTuple):
    """Days from the first to the last, both included."""

    first: date
    last: date

    @classmethod
    def of(cls, text: str) -> "Days":
        first, last = map(date.fromisoformat, text.split(".."))
        return cls(first, last)


def offsets_of(text: str) -> OffsetRange:
    partition, _, span = text.partition(":")
    first, last = map(int, span.split("-"))
    return OffsetRange(int(partition), first, last + 1)


@app.command(help=as_help(__doc__))
def main(
    topic: Annotated[str, choice_of(each.topic for each in CONTRACTS)],
    days: Annotated[Days | None, option_of(Days.of, "FROM..TO")] = None,
    offsets: Annotated[list[OffsetRange], option_of(offsets_of, "PARTITION:FIRST-LAST")] = [],  # noqa: B006 (typer copies it)
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be.")] = False,
) -> None:
    asked = Asked(days, tuple(offsets))
    run("replay", lambda *job: replay_and_report(*job, topic, asked, dry_run))


def replay_and_report(
    spark: SparkSession, settings: Settings, topic: str, asked: Asked, dry_run: bool
) -> None:
    result = replay(spark, settings, topic, asked, dry_run)
    counts = vars(result)
    print_table([name.replace("_", " ") for name in counts], [list(counts.values())])
    if result.examined == result.unchanged:
        print("nothing to change")
    if dry_run:
        print("dry run: nothing was changed")


if __name__ == "__main__":
    app()
