"""make demo: from nothing to marts on the real stack, and the proof that the numbers agree."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NoReturn

import trino
import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from lakehouse.console import command_line
from lakehouse.contracts import CONTRACTS
from lakehouse.errors import LakehouseError, reported
from lakehouse.stack import artifacts, processes
from lakehouse.stack.home import REPOSITORY, Home, StackSettings
from lakehouse.stack.services import Trino
from lakehouse.tables.definitions import staging_table

# Mart -> the order in which its top rows are shown.
MARTS = {
    "product_category_revenue": "event_date DESC, net_revenue DESC",
    "top_viewed_products": "event_date DESC, view_rank",
    "same_day_purchasers": "event_date DESC, amount DESC, user_id, product_id",
}
TOP_ROWS = 5

console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
app = command_line()


class Demo:
    """One run: each step is a command that a user could type, with its output in a log file."""

    def __init__(self, home: Home):
        self.home = home
        self.logs = home.path / "logs"
        self.environment = home.environment

    def step(self, title: str, *command: str) -> str:
        """Run a command; its output is returned, its errors go to a file named for the step."""
        started = time.monotonic()
        log = self.logs / f"{title.replace(' ', '-')}.err"
        with log.open("w") as errors:
            done = subprocess.run(
                command,
                cwd=REPOSITORY,
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        if done.returncode:
            tail = (done.stdout + log.read_text()).strip().splitlines()[-15:]
            raise LakehouseError(
                f"`{' '.join(command)}` failed with exit code {done.returncode}:\n"
                + "\n".join(f"    {line}" for line in tail),
                f"\nIts log is {log}",
            )
        console.print(f"[bold]{title}[/bold] ({time.monotonic() - started:.1f} s)")
        return done.stdout

    def run(self, events: int) -> None:
        generated = self.step(
            "generate events",
            "python",
            "-m",
            "generator",
            f"--events={events}",
            f"--seed={self._next_seed()}",
        )
        console.print(generated.strip(), markup=False)
        ingested = self.step("ingest", "spark-submit", "jobs/ingest.py")
        (self.logs / "ingest.log").write_text(ingested)
        summary = [line for line in ingested.splitlines() if not line.startswith("{")]
        console.print("\n".join(summary), markup=False)
        built = self.step("dbt build", "dbt", "--no-use-colors", "build")
        console.print(built.strip().splitlines()[-1], markup=False)
        expected = json.loads(self.step("expected marts", "python", "-m", "generator", "expect"))
        with Trino(self.home).connect() as connection:
            for mart in MARTS:
                self._show(connection, mart)
            audited = self.step("audit", "spark-submit", "jobs/audit.py", "--full")
            console.print(audited.rstrip(), markup=False, soft_wrap=True)
            conserved = check_conservation(connection, expected)
            agreed = [check_mart(connection, mart, expected[mart]) for mart in MARTS]
        if not (conserved and all(agreed)):
            raise LakehouseError("The numbers do not agree", f"The logs are in {self.logs}")

    def _next_seed(self) -> int:
        """Another one for each run, so that a second run adds events instead of repeating them."""
        counter = self.home.path / "demo-runs"
        seed = int(counter.read_text()) + 1 if counter.exists() else 1
        counter.write_text(str(seed))
        return seed

    def _show(self, connection: trino.dbapi.Connection, mart: str) -> None:
        cursor = connection.cursor()
        cursor.execute(f"SELECT * FROM marts.{mart} ORDER BY {MARTS[mart]} LIMIT {TOP_ROWS}")  # noqa: S608
        rows = cursor.fetchall()
        columns = (column[0] for column in cursor.description)
        table = Table(*columns, title=mart, title_justify="left", box=SIMPLE)
        for row in rows:
            table.add_row(*(_short(value) for value in row))
        console.print(table)


def check_conservation(connection: trino.dbapi.Connection, expected: dict[str, Any]) -> bool:
    """The generator's own count of messages is that of the rows: staged, dead or duplicate."""
    conserved = True
    for contract in CONTRACTS:
        topic, staging = contract.topic, staging_table(contract).name
        cursor = connection.cursor()
        cursor.execute(
            f"""
            WITH places AS (
                SELECT 'staged' AS place, kafka_partition, kafka_offset FROM {staging}
                UNION ALL
                SELECT 'dead', "partition", "offset" FROM ops.dead_letters
                WHERE topic = '{topic}' AND coalesce(outcome, '') NOT IN ('replayed', 'duplicate')
                UNION ALL
                SELECT 'duplicate', "partition", "offset" FROM ops.duplicates
                WHERE topic = '{topic}'
            )
            SELECT
                count_if(place = 'staged'), count_if(place = 'dead'),
                count_if(place = 'duplicate'),
                count(DISTINCT (kafka_partition, kafka_offset))
            FROM places
            """  # noqa: S608
        )
        ((staged, dead, duplicate, distinct),) = cursor.fetchall()
        produced = expected["produced"].get(topic, 0)
        holds = produced == staged + dead + duplicate == distinct
        conserved &= holds
        console.print(
            f"{topic}: produced {produced:,} {'=' if holds else '≠'} "
            f"staged {staged:,} + dead {dead:,} + duplicate {duplicate:,}, distinct {distinct:,}",
            style="green" if holds else "red",
        )
    return conserved


def check_mart(
    connection: trino.dbapi.Connection, mart: str, expected: list[dict[str, Any]]
) -> bool:
    """Compare all rows of a mart with the generator's own computation, exactly."""
    cursor = connection.cursor()
    cursor.execute(f"SELECT {', '.join(expected[0]) if expected else '*'} FROM marts.{mart}")  # noqa: S608
    found = {tuple(map(plain, row)) for row in cursor.fetchall()}
    wanted = {tuple(row.values()) for row in expected}
    agrees = found == wanted
    console.print(
        f"{mart}: {len(found):,} rows, "
        + (
            "all equal to the independent computation"
            if agrees
            else f"{len(found - wanted):,} unexpected and {len(wanted - found):,} missing"
        ),
        style="green" if agrees else "red",
    )
    return agrees


def plain(value: Any) -> Any:
    """Write a value as `python -m generator expect` writes it in JSON."""
    if isinstance(value, Decimal):
        return str(value.quantize(Decimal("0.000001")))
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds")
    if isinstance(value, date):
        return value.isoformat()
    return value


def _short(value: Any) -> str:
    if isinstance(value, Decimal):
        return f"{value:,.2f}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return "" if value is None else str(value)


@contextmanager
def stack(home: Home) -> Iterator[None]:
    """A running stack; stopped again, whatever happens, if it was not running before."""
    ran_before = any(processes.find(service) for service in processes.services(home))
    try:
        processes.up(home, console.print)
        yield
    finally:
        if not ran_before:
            processes.down(home, console.print)


def _terminated(_signal: int, _frame: object) -> NoReturn:
    sys.exit("error: terminated. The stack was stopped; run `make demo` again")


@app.command()
def main(events: int = typer.Option(100_000, min=1, help="Messages to produce.")) -> None:
    """Generate, ingest, build, compare, and stop what was started."""
    started = time.monotonic()
    signal.signal(signal.SIGTERM, _terminated)
    home = Home(StackSettings())
    artifacts.fetch(home.cache)
    with stack(home):
        demo = Demo(home)
        demo.run(events)
        console.print(f"logs: {demo.logs}", markup=False, soft_wrap=True)
    console.print(
        "query it yourself:\n"
        '  make up && eval "$(make -s env)"\n'
        "  python -c \"import os, trino; c = trino.dbapi.connect(host=os.environ['TRINO_HOST'], "
        "port=int(os.environ['TRINO_PORT']), user='you', catalog='lake').cursor(); "
        "c.execute('SELECT * FROM marts.product_category_revenue'); print(c.fetchall())\"\n"
        "  trino --server http://$TRINO_HOST:$TRINO_PORT --catalog lake --schema marts",
        markup=False,
        soft_wrap=True,
    )
    console.print(f"done in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    with reported():
        app()
