"""A PostgreSQL server of a test's own, with the catalog's tables."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from tenacity import Retrying, stop_after_delay, wait_fixed

from lakehouse.stack.home import CONF

SERVERS = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
POSTGRES = Path(shutil.which("postgres") or (SERVERS[-1] if SERVERS else "")).resolve()

IS_INSTALLED = POSTGRES.is_file()


class Server:
    """Run a server with the catalog's tables on a data folder in `folder`; it may be killed."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._data = folder / "data"
        # PostgreSQL refuses to run as root.
        self._user = "postgres" if os.geteuid() == 0 else None
        if self._user:
            shutil.chown(folder, self._user)
            for parent in (folder.parent, folder.parent.parent):
                parent.chmod(0o755)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.address = f"jdbc:postgresql://127.0.0.1:{self.port}/lake"
        self._client = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "lakehouse"]
        self._run("initdb", "-D", str(self._data), "-U", "lakehouse", "--auth=trust")

    def start(self) -> None:
        """Returns when it answers."""
        address = ["-h", "127.0.0.1", "-p", str(self.port), "-k", self._folder]
        self._process = subprocess.Popen(
            [POSTGRES, "-D", self._data, *address],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=self._user,
            cwd="/",
        )
        for attempt in Retrying(stop=stop_after_delay(20), wait=wait_fixed(0.2), reraise=True):
            with attempt:
                self._run("pg_isready", *self._client)

    def create_catalog(self) -> None:
        self._run("createdb", *self._client, "lake")
        self._run("psql", *self._client, "lake", input=(CONF / "catalog.sql").read_bytes())

    def end_connections(self) -> None:
        """End connections as a shutdown does: their next use fails with 57P01."""
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        self._run("psql", *self._client, "lake", "-c", end)

    def kill(self) -> None:
        """Kill the server; the processes of its connections end when they notice."""
        children = psutil.Process(self._process.pid).children()
        self._process.kill()
        self._process.wait()
        psutil.wait_procs(children, timeout=20)

    def stop(self) -> None:
        """Whoever is still connected."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(30)

    def _run(self, program: str, *arguments: str, **options: object) -> None:
        words = [POSTGRES.parent / program, *arguments]
        subprocess.run(words, check=True, capture_output=True, user=self._user, cwd="/", **options)


@contextmanager
def server(folder: Path) -> Iterator[Server]:
    """Runs inside `with`."""
    made = Server(folder)
    try:
        made.start()
        made.create_catalog()
        yield made
    finally:
        made.stop()
