"""ops.dead_letters: count them, look at them, replay them into staging, or discard them

spark-submit jobs/dead_letters.py summary
spark-submit jobs/dead_letters.py show    [which] [--payload] [--limit 20] [--settled]
spark-submit jobs/dead_letters.py replay  [which] [--dry-run]
spark-submit jobs/dead_letters.py discard which --reason TEXT [--dry-run]

which: [--topic TOPIC] [--class CLASS] [--day YYYY-MM-DD] [--id TOPIC/PARTITION/OFFSET]...
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Annotated

import typer
from pyspark.sql import SparkSession

from lakehouse.console import choice_of, command_line, option_of, print_table
from lakehouse.contracts import CONTRACTS, RULES
from lakehouse.dead_letters.browse import (
    Position,
    Selection,
    count_messages,
    dead_letters,
    listing,
    summary,
)
from lakehouse.dead_letters.settle import discard, replay
from lakehouse.job import run
from lakehouse.locks.writer_lock import writer_locks
from lakehouse.settings import Settings
from lakehouse.tables.create import create_missing

app = command_line(__doc__)
Topic = Annotated[str | None, choice_of(each.topic for each in CONTRACTS)]
Class = Annotated[str | None, choice_of(RULES, "--class", metavar="CLASS")]
Day = Annotated[date | None, option_of(date.fromisoformat, "YYYY-MM-DD")]
Ids = Annotated[list[Position], option_of(Position.of, "TOPIC/PARTITION/OFFSET", "--id")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be.")]


@app.command("summary")
def summary_command() -> None:
    """Count letters by topic, day, class and field."""
    run("dead_letters", lambda spark, _: summarize(spark))


@app.command("show")
def show_command(
    topic: Topic = None,
    error_class: Class = None,
    day: Day = None,
    ids: Ids = [],  # noqa: B006 (typer copies it)
    payload: Annotated[bool, typer.Option("--payload", help="Also keys and values.")] = False,
    settled: Annotated[bool, typer.Option("--settled", help="Settled ones instead.")] = False,
    limit: Annotated[int, typer.Option(help="At most so many.")] = 20,
) -> None:
    """List letters, open ones or settled ones."""
    which = Selection(topic, error_class, day, tuple(ids))
    run("dead_letters", lambda spark, _: show(spark, which, payload, settled, limit))


@app.command("replay")
def replay_command(
    topic: Topic = None,
    error_class: Class = None,
    day: Day = None,
    ids: Ids = [],  # noqa: B006
    dry_run: DryRun = False,
) -> None:
    """Hold open letters against the contracts of today, and stage those that pass."""
    which = Selection(topic, error_class, day, tuple(ids))
    run("dead_letters", lambda *job: replay_letters(*job, which, dry_run))


@app.command("discard")
def discard_command(
    reason: Annotated[str, typer.Option(help="Why; kept with each letter.")],
    topic: Topic = None,
    error_class: Class = None,
    day: Day = None,
    ids: Ids = [],  # noqa: B006
    dry_run: DryRun = False,
) -> None:
    """Settle open letters for good, with a reason."""
    which = Selection(topic, error_class, day, tuple(ids))
    if which == Selection():
        raise typer.BadParameter("say which: --topic, --class, --day or --id")
    run("dead_letters", lambda *job: discard_letters(*job, which, reason, dry_run))


def summarize(spark: SparkSession) -> None:
    create_missing(spark)
    messages = count_messages(spark)
    rows = summary(dead_letters(spark)).collect()
    print_table(
        [*rows[0].asDict(), "share"] if rows else ["no dead letters"],
        ([*row, f"{row.letters / messages[row.topic]:.3%}"] for row in rows),
    )
    for topic, count in messages.items():
        letters = sum(row.letters for row in rows if row.topic == topic)
        print(f"{topic}: {letters:,} of {count:,} messages")


def show(spark: SparkSession, which: Selection, payload: bool, settled: bool, limit: int) -> None:
    create_missing(spark)
    letters = listing(spark, which, settled).limit(limit).collect()
    columns = ["id", "kafka_timestamp", "error_class", "error_detail", "bytes", "attempt"]
    columns += ["outcome", "reason"] if settled else []
    print_table(columns, ([letter[column] for column in columns] for letter in letters))
    if payload:
        for letter in letters:
            print(f"{letter.id}  key {_text(letter.key)}  value {_text(letter.value)}")


def _text(payload: bytearray | None) -> str:
    """Readable, and nothing in it can steer a terminal."""
    return repr(payload and payload.decode(errors="backslashreplace"))


@contextmanager
def locks_of(
    spark: SparkSession, settings: Settings, dry_run: bool
) -> Iterator[Callable[[], None]]:
    """Keep all writers out, unless nothing is to be written."""
    create_missing(spark)
    topics = [] if dry_run else [contract.topic for contract in CONTRACTS]
    with writer_locks(spark, topics, settings.writer_lease_seconds) as check_locks:
        yield check_locks


def replay_letters(
    spark: SparkSession, settings: Settings, which: Selection, dry_run: bool
) -> None:
    columns = ["topic", "tried", "passed", "staged", "duplicate", "still dead", "cut"]
    horizon = timedelta(days=settings.duplicate_horizon_days)
    with locks_of(spark, settings, dry_run) as check_locks:
        results = replay(spark, which, horizon, dry_run, check_locks)
    print_table(
        columns,
        ([vars(result)[column.replace(" ", "_")] for column in columns] for result in results),
    )
    for result in results:
        for error_class, count in result.by_class.items():
            print(f"{result.topic}: {count:,} still {error_class}")
    if dry_run:
        print("dry run: nothing was changed")


def discard_letters(
    spark: SparkSession, settings: Settings, which: Selection, reason: str, dry_run: bool
) -> None:
    with locks_of(spark, settings, dry_run) as check_locks:
        count = discard(spark, which, reason, dry_run, check_locks)
    print(f"{count:,} dead letters {'would be' if dry_run else 'are'} discarded")


if __name__ == "__main__":
    app()
