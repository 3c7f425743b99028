"""A temporary LAKEHOUSE_HOME -> the services of a bench, each as a context."""

import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from lakehouse.stack import artifacts, class_archive, processes
from lakehouse.stack.home import Home, StackSettings
from lakehouse.stack.services import Kafka, ObjectStore

console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)


@contextmanager
def broker(home: Home) -> Iterator[str]:
    """The stack's Kafka and nothing else of it; stopped whatever happens."""
    home.move_taken_ports(Kafka.ports)
    try:
        processes.start(Kafka(home), console.print)
        yield home.exports["KAFKA_BOOTSTRAP_SERVERS"]
    finally:
        processes.stop([Kafka(home)], console.print)


@contextmanager
def store(home: Home) -> Iterator[None]:
    home.move_taken_ports(ObjectStore.ports)
    try:
        processes.start(ObjectStore(home), console.print)
        yield
    finally:
        processes.stop([ObjectStore(home)], console.print)


@contextmanager
def temporary_home(prefix: str, distributions: Iterable[str] = artifacts.STACK) -> Iterator[Home]:
    """Empty, and gone afterwards; after a failure its logs stay."""
    with tempfile.TemporaryDirectory(prefix=prefix) as folder:
        home = Home(StackSettings(home=Path(folder), catalog_uri=None))
        artifacts.fetch(home.cache, distributions)
        try:
            yield home
        except BaseException:
            logs = home.path / "logs"
            if logs.exists():
                kept = shutil.move(logs, tempfile.mkdtemp(prefix=f"{prefix}failed-"))
                console.print(f"logs: {kept}", soft_wrap=True)
            raise


@contextmanager
def services(prefix: str, distributions: list[str]) -> Iterator[Home]:
    """An empty broker and an empty store."""
    with temporary_home(prefix, distributions) as home:
        class_archive.make(home, console.print)
        with broker(home), store(home):
            yield home


@contextmanager
def stack(prefix: str) -> Iterator[Home]:
    """Run the whole stack, empty."""
    with temporary_home(prefix) as home:
        try:
            processes.up(home, console.print)
            yield home
        finally:
            processes.down(home, console.print)
