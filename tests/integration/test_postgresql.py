"""The same two configuration files with PostgreSQL as the catalog, on a server of its own."""

import re
import subprocess

from lakehouse.stack import processes
from lakehouse.stack.home import REPOSITORY, Home, StackSettings
from lakehouse.stack.services import Trino


def test_both_engines_share_a_postgresql_catalog(database, tmp_path):
    home = Home(StackSettings(home=tmp_path / "home", catalog_uri=database.address))
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
        report = re.search(r"user-events +500 +(\d+) +(\d+) +0 +0 *\n", done.stdout)
        assert report
        staged, duplicate = map(int, report.groups())
        assert staged + duplicate == 500
        with Trino(home).connect() as connection:
            cursor = connection.cursor()
            cursor.execute("SELECT count(*) FROM staging.stg_user_events")
            assert cursor.fetchall() == [[staged]]
        assert not home.catalog_file.exists()
    finally:
        processes.down(home, print)
