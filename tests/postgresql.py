"""A PostgreSQL server of a test's own, with the catalog's tables."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tenacity import Retrying, stop_after_delay, wait_fixed

from lakehouse.stack.home import CONF

SERVERS = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
POSTGRES = Path(shutil.which("postgres") or (SERVERS[-1] if SERVERS else "")).resolve()

IS_INSTALLED = POSTGRES.is_file()


def end_connections(address: str) -> None:
    """As a server does that is shut down: their next use fails with 57P01."""
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    url = address.removeprefix("jdbc:").replace("://", "://lakehouse@")
    subprocess.run([POSTGRES.parent / "psql", url, "-c", end], check=True, capture_output=True)


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """Runs inside `with`, on a data folder in this one; yields its JDBC address."""
    # PostgreSQL refuses to run as root.
    user = "postgres" if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user)
        for parent in (folder.parent, folder.parent.parent):
            parent.chmod(0o755)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = folder / "data"
    address = ["-h", "127.0.0.1", "-p", str(port), "-U", "lakehouse"]

    def run(program: str, *arguments: str, **options: object) -> None:
        words = [POSTGRES.parent / program, *arguments]
        subprocess.run(words, check=True, capture_output=True, user=user, cwd="/", **options)

    run("initdb", "-D", str(data), "-U", "lakehouse", "--auth=trust")
    process = subprocess.Popen(
        [POSTGRES, "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", folder],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        user=user,
        cwd="/",
    )
    try:
        for attempt in Retrying(stop=stop_after_delay(20), wait=wait_fixed(0.2), reraise=True):
            with attempt:
                run("pg_isready", *address)
        run("createdb", *address, "lake")
        run("psql", *address, "lake", input=(CONF / "catalog.sql").read_bytes())
        yield f"jdbc:postgresql://127.0.0.1:{port}/lake"
    finally:
        process.terminate()
        process.wait(30)
