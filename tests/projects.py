"""dbt's project with models of somebody else's, and events for them."""

import json
import shutil
import subprocess
from pathlib import Path

import broker
from pyspark.sql import SparkSession
from shop import USER_EVENTS

from lakehouse.ingest.run import ingest
from lakehouse.replay.run import replay
from lakehouse.replay.slices import Asked
from lakehouse.settings import Settings
from lakehouse.stack.home import REPOSITORY


def event(
    event_id: str,
    hour: str,
    kind: str = "view",
    user: str | None = "ann",
    product: str = "P1",
    **data,
) -> str:
    return json.dumps(
        {
            "event_id": event_id,
            "user_id": user,
            "product_id": product,
            "event_type": kind,
            "event_timestamp": f"{hour}:00:00Z",
            "event_data": data,
        }
    )


class Project:
    """A copy of dbt's project, to which somebody else adds models."""

    def __init__(self, folder: Path, settings: Settings, spark: SparkSession):
        self._settings, self._spark, self.folder = settings, spark, folder
        ignored = shutil.ignore_patterns("target", "logs")
        shutil.copytree(REPOSITORY / "dbt", folder, ignore=ignored)

    def ingest(self, *values: str, key: str | None = "ann") -> None:
        broker.produce(self._settings, *values, key=key)
        ingest(self._spark, self._settings)

    def restore(self) -> None:
        """Bring back what a test deleted: the tests that follow use the same staging."""
        replay(self._spark, self._settings, USER_EVENTS.topic, Asked())

    def dbt(self, *words: str, exit_code: int = 0) -> str:
        with self.start(*words) as process:
            printed, errors = process.communicate()
        assert process.returncode == exit_code, f"{printed}\n{errors}"
        return printed

    def start(self, *words: str) -> subprocess.Popen:
        folders = f"--project-dir={self.folder}", f"--profiles-dir={self.folder}"
        pipe = subprocess.PIPE
        words = ("dbt", "--no-use-colors", *words, *folders)
        return subprocess.Popen(words, cwd=self.folder, stdout=pipe, stderr=pipe, text=True)

    def add(self, path: str, text: str) -> None:
        (self.folder / path).write_text(text)

    def edit(self, path: str, old: str, new: str) -> None:
        file = self.folder / path
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))
