"""Command line -> a shop's traffic on Kafka: `python -m generator --help`."""

import gc
import sys
import time
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from generator import expect as expectation
from generator import load as jsonl
from generator.events import Plan, Traffic
from generator.messages import CommandError
from generator.progress import Progress
from generator.publish import Publisher, connect, create_topics, received
from generator.sessions import ORPHAN_NUMBERS
from lakehouse.contracts import CONTRACTS, EVENT_WINDOW_START
from lakehouse.contracts.topics.product_metadata import CONTRACT as PRODUCT_METADATA
from lakehouse.contracts.topics.user_events import CONTRACT as USER_EVENTS

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
Topic = StrEnum("Topic", {c.topic: c.topic for c in CONTRACTS})  # type: ignore[misc]

Servers = Annotated[
    str, typer.Option("--bootstrap-servers", envvar="KAFKA_BOOTSTRAP_SERVERS", help="HOST:PORT,...")
]
Partitions = Annotated[int, typer.Option(min=1, help="Of topics that do not exist yet.")]
Replication = Annotated[int, typer.Option(min=1, help="Of topics that do not exist yet.")]


@app.callback(invoke_without_command=True)
def produce(
    context: typer.Context,
    events: Annotated[
        int, typer.Option(min=0, help="Messages for user-events, bad and duplicate ones included.")
    ] = 100_000,
    products: Annotated[int, typer.Option(min=1, max=ORPHAN_NUMBERS[0] - 1)] = 1000,
    users: Annotated[int, typer.Option(min=1)] = 5000,
    days: Annotated[int, typer.Option(min=1, help="Days that the events are spread over.")] = 7,
    start: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"],
            help="First day, UTC.",
            show_default="so that the last day is yesterday",
        ),
    ] = None,
    rate: Annotated[float, typer.Option(min=0, help="Per second; 0: as fast as possible.")] = 0,
    bad_rate: Annotated[
        float, typer.Option(min=0, max=1, help="Share of malformed messages in user-events.")
    ] = 0.01,
    seed: Annotated[
        int, typer.Option(help="Another seed: more events. The same again: the same again.")
    ] = 1,
    partitions: Partitions = 4,
    replication_factor: Replication = 1,
    bootstrap_servers: Servers = "",
) -> None:
    """Send a shop's traffic to Kafka: shoppers' events, products and their changes."""
    if context.invoked_subcommand:
        _no_stray_options(context)
        return
    plan = Plan(events, products, users, days, _first_day(start, days), bad_rate, seed)
    admin = connect(_named(bootstrap_servers))
    create_topics(admin, partitions, replication_factor)
    traffic = Traffic(plan)
    publisher = Publisher(bootstrap_servers)
    started = time.monotonic()
    with Progress(events + products) as progress:
        updates = publisher.send(traffic.catalog.initial(plan.start), progress)
        updates += publisher.send(traffic.messages(), progress, rate) - events
        publisher.finish()
    seconds = time.monotonic() - started
    tally = traffic.tally
    print(
        f"produced {events} events ({tally.bad} bad, {tally.duplicates} duplicates, "
        f"{tally.late} late) and {updates} product updates ({traffic.catalog.deletions} deletions) "
        f"in {seconds:.1f} s, {(events + updates) / seconds:,.0f}/s, all acknowledged"
    )


@app.command()
def load(
    file: Annotated[Path, typer.Argument(help="JSON Lines, one message per line; also .gz.")],
    topic: Annotated[Topic, typer.Option()],
    keep_bad: Annotated[
        bool, typer.Option("--keep-bad", help="Send lines that are not JSON as they are.")
    ] = False,
    partitions: Partitions = 4,
    replication_factor: Replication = 1,
    bootstrap_servers: Servers = "",
) -> None:
    """Send your own file, each line as it is, keyed by its user_id or product_id."""
    contract = next(c for c in CONTRACTS if c.topic == topic)
    total = jsonl.check(file, keep_bad)
    admin = connect(_named(bootstrap_servers))
    create_topics(admin, partitions, replication_factor)
    publisher = Publisher(bootstrap_servers)
    with Progress(total) as progress:
        publisher.send(jsonl.messages(file, contract), progress)
        publisher.finish()
    print(f"loaded {total} messages from {file} into {topic}, all acknowledged")


@app.command()
def expect(bootstrap_servers: Servers = "") -> None:
    """Read both topics and print, as JSON, what the marts must show."""
    connect(_named(bootstrap_servers))
    # Millions of small values and no cycles: looking for garbage would take a quarter of the time.
    gc.disable()
    user_events = received(bootstrap_servers, USER_EVENTS.topic)
    products = received(bootstrap_servers, PRODUCT_METADATA.topic)
    print(expectation.as_json(expectation.expected(user_events, products)))


def _named(bootstrap_servers: str) -> str:
    if not bootstrap_servers:
        raise CommandError(
            "no Kafka broker is named; pass --bootstrap-servers, set KAFKA_BOOTSTRAP_SERVERS, "
            'or run: eval "$(make -s env)"'
        )
    return bootstrap_servers


def _first_day(start: datetime | None, days: int) -> datetime:
    now = datetime.now(UTC)
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    first = today - timedelta(days=days) if start is None else start.replace(tzinfo=UTC)
    # The contract refuses events of the future, and product states are up to 30 days older.
    if first + timedelta(days=days) > now:
        raise typer.BadParameter(
            f"{days} days from {first:%Y-%m-%d} end in the future; start earlier"
        )
    if first < EVENT_WINDOW_START + timedelta(days=30):
        raise typer.BadParameter(f"{first:%Y-%m-%d} is too early; start in 1971 or later")
    return first


def _no_stray_options(context: typer.Context) -> None:
    """`--events 5 load FILE` would drop --events without a word."""
    for name in context.params:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            option = "--" + name.replace("_", "-")
            raise typer.BadParameter(
                f"{option} comes after {context.invoked_subcommand}, or does not go with it"
            )


def main(arguments: list[str] | None = None) -> None:
    try:
        app(arguments)
    except CommandError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
