"""make up, down, status, env, clean -> python -m lakehouse.stack up|down|status|env|clean"""

import shlex
import shutil
import sys

import typer
from rich.console import Console
from rich.table import Table

from lakehouse.console import command_line
from lakehouse.errors import reported
from lakehouse.stack import artifacts, class_archive, processes
from lakehouse.stack.home import BIN, FOREIGN, Home, StackSettings

app = command_line(__doc__)
console = Console(stderr=True, highlight=False)


def report(line: str) -> None:
    console.print(line, markup=False, soft_wrap=True)


@app.command()
def up() -> None:
    """Fetch what is missing, start every service and wait until it is ready."""
    home = Home(StackSettings())
    artifacts.fetch(home.cache)
    if not processes.up(home, report):
        report("all services run already")


@app.command()
def down() -> None:
    """Stop every service; the data stays."""
    processes.down(Home(StackSettings()), report)


@app.command()
def status() -> None:
    """Show state, memory, port and log of every service; exit code 1 unless all run."""
    home = Home(StackSettings())
    table = Table("service", "state", "pid", "port", "RSS", "log", box=None)
    states = [processes.status(service) for service in processes.services(home)]
    for s in states:
        rss = f"{s.rss / 1e6:.0f} MB" if s.pid else ""
        table.add_row(s.name, s.state, str(s.pid or ""), str(s.port), rss, s.log)
    Console(width=200 if not sys.stdout.isatty() else None).print(table)
    if any(s.state != "running" for s in states):
        raise typer.Exit(1)


@app.command()
def env() -> None:
    """Print shell exports: eval "$(make -s env)"."""
    home = Home(StackSettings())
    artifacts.fetch(home.cache)
    class_archive.make(home, report)
    home.write_spark_conf()
    print("unset", *FOREIGN)
    for name, value in home.exports.items():
        print(f"export {name}={shlex.quote(value)}")
    print(f'export PATH={shlex.quote(str(BIN))}:"$PATH"')


@app.command()
def fetch(distribution: str) -> None:
    """Fetch and verify one of spark, kafka, trino, connect, and print its folder."""
    if distribution not in artifacts.SECTIONS:
        raise typer.BadParameter(f"{distribution} is none of {', '.join(artifacts.SECTIONS)}")
    cache = StackSettings().cache.absolute()
    artifacts.fetch(cache, [distribution])
    print(artifacts.folder(distribution, cache))


@app.command()
def clean() -> None:
    """Stop every service and remove the data folder. Downloads stay in the cache."""
    home = Home(StackSettings())
    processes.down(home, report)
    shutil.rmtree(home.path)
    report(f"removed {home.path}")


if __name__ == "__main__":
    with reported():
        app()
