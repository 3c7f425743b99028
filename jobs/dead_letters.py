"""ops.dead_letters: count them, look at them, replay them into staging, or discard them

spark-submit jobs/dead_letters.py summary
spark-submit jobs/dead_letters.py show    [which] [--payload] [--limit 20] [--settled]
spark-submit jobs/dead_letters.py replay  [which] [--dry-run]
spark-submit jobs/dead_letters.py discard which --reason TEXT [--dry-run]

which: [--topic TOPIC] [--class CLASS] [--day YYYY-MM-DD] [--id TOPIC/PARTITION/OFFSET ...]
"""

import argparse
from collections.abc import Callable
from datetime import date, timedelta
from functools import partial

from pyspark.sql import SparkSession

from lakehouse.console import print_table
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


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("summary")
    for name in ("show", "replay", "discard"):
        command = commands.add_parser(name)
        command.add_argument("--topic", choices=[contract.topic for contract in CONTRACTS])
        command.add_argument("--class", dest="error_class", choices=RULES, metavar="CLASS")
        command.add_argument("--day", type=date.fromisoformat, metavar="YYYY-MM-DD")
        command.add_argument(
            "--id", dest="positions", type=Position.of, nargs="+", default=(), metavar="ID"
        )
        if name == "show":
            command.add_argument("--payload", action="store_true", help="also keys and values")
            command.add_argument("--settled", action="store_true", help="settled ones instead")
            command.add_argument("--limit", type=int, default=20)
        else:
            command.add_argument("--dry-run", action="store_true", help="only say what would be")
        if name == "discard":
            command.add_argument("--reason", required=True)
    options = parser.parse_args()
    which = ("topic", "error_class", "day", "positions")
    if options.command == "discard" and not any(getattr(options, name) for name in which):
        parser.error("discard: say which: --topic, --class, --day or --id")
    return options


def summarize(spark: SparkSession) -> None:
    messages = count_messages(spark)
    rows = summary(dead_letters(spark)).collect()
    print_table(
        [*rows[0].asDict(), "share"] if rows else ["no dead letters"],
        ([*row, f"{row.letters / messages[row.topic]:.3%}"] for row in rows),
    )
    for topic, count in messages.items():
        letters = sum(row.letters for row in rows if row.topic == topic)
        print(f"{topic}: {letters:,} of {count:,} messages")


def show(spark: SparkSession, which: Selection, options: argparse.Namespace) -> None:
    letters = listing(spark, which, options.settled).limit(options.limit).collect()
    columns = ["id", "kafka_timestamp", "error_class", "error_detail", "bytes", "attempt"]
    columns += ["outcome", "reason"] if options.settled else []
    print_table(columns, ([letter[column] for column in columns] for letter in letters))
    if options.payload:
        for letter in letters:
            print(f"{letter.id}  key {_text(letter.key)}  value {_text(letter.value)}")


def _text(payload: bytearray | None) -> str:
    """Readable, and nothing in it can steer a terminal."""
    return repr(payload and payload.decode(errors="backslashreplace"))


def replay_letters(
    spark: SparkSession,
    which: Selection,
    horizon: timedelta,
    dry_run: bool,
    check_locks: Callable[[], None],
) -> None:
    columns = ["topic", "tried", "passed", "staged", "duplicate", "still dead", "cut"]
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
    spark: SparkSession,
    which: Selection,
    options: argparse.Namespace,
    check_locks: Callable[[], None],
) -> None:
    count = discard(spark, which, options.reason, options.dry_run, check_locks)
    print(f"{count:,} dead letters {'would be' if options.dry_run else 'are'} discarded")


def main(options: argparse.Namespace, spark: SparkSession, settings: Settings) -> None:
    create_missing(spark)
    if options.command == "summary":
        summarize(spark)
        return
    which = Selection(options.topic, options.error_class, options.day, tuple(options.positions))
    if options.command == "show":
        show(spark, which, options)
        return
    topics = [] if options.dry_run else [contract.topic for contract in CONTRACTS]
    with writer_locks(spark, topics, settings.writer_lease_seconds) as check_locks:
        if options.command == "replay":
            horizon = timedelta(days=settings.duplicate_horizon_days)
            replay_letters(spark, which, horizon, options.dry_run, check_locks)
        else:
            discard_letters(spark, which, options, check_locks)


if __name__ == "__main__":
    run("dead_letters", partial(main, parse()))
