"""The same two configuration files with PostgreSQL as the catalog, on a server of its own."""

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trino
from tenacity import Retrying, stop_after_delay, wait_fixed

from lakehouse.stack import processes
from lakehouse.stack.home import CONF, REPOSITORY, Home, StackSettings

SERVERS = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
POSTGRES = Path(shutil.which("postgres") or (SERVERS[-1] if SERVERS else "")).resolve()

pytestmark = pytest.mark.skipif(
    not POSTGRES.is_file(), reason="no PostgreSQL server is installed (`postgres` on PATH)"
)


@pytest.fixture
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A JDBC address of a database that has the catalog's tables. Ends with the test."""
    folder = tmp_path_factory.mktemp("postgresql")
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
    server = subprocess.Popen(
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
        server.terminate()
        server.wait(30)


def test_both_engines_share_a_postgresql_catalog(database, tmp_path):
    home = Home(StackSettings(home=tmp_path / "home", catalog_uri=database))
    processes.up(home, print)
    try:
        for words in (
            ["python", "-m", "generator", "--events=500", "--seed=5", "--bad-rate=0"],
            ["spark-submit", "jobs/ingest.py"],
        ):
            done = subprocess.run(
                words, cwd=REPOSITORY, env=home.environment, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stdout + done.stderr
        report = re.search(r"user-events +500 +(\d+) +(\d+) +0 +0\n", done.stdout)
        assert report
        staged, duplicate = map(int, report.groups())
        assert staged + duplicate == 500
        with trino.dbapi.connect(
            host="127.0.0.1", port=home.ports["trino"], user="tests", catalog="lake"
        ) as connection:
            cursor = connection.cursor()
            cursor.execute("SELECT count(*) FROM staging.stg_user_events")
            assert cursor.fetchall() == [[staged]]
        assert not home.catalog_file.exists()
    finally:
        processes.down(home, print)
