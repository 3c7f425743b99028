"""An ingest in processes of its own, ended by SIGKILL at a moment that is seen from outside."""

import os
import re
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress

import psutil
from lakehouses import Lakehouse
from pyarrow import fs

POLL_SECONDS = 0.02
GIVE_UP_SECONDS = 180


class Ingest:
    """spark-submit jobs/ingest.py, and what it has done to the catalog and the store so far."""

    def __init__(self, lakehouse: Lakehouse):
        self._lakehouse = lakehouse
        self._store = lakehouse.store
        self._before = self._versions()
        self._files_before = self._files("")
        self._lock_before = self._lock()
        self.job = lakehouse.start("jobs/ingest.py")

    def commits(self, table: str | None = None) -> int:
        """To a table, or to all."""
        return sum(
            version - self._before.get(name, 0)
            for name, version in self._versions().items()
            if table in (None, name)
        )

    def has_lock(self) -> bool:
        lock = self._lock()
        return lock != self._lock_before and b'"released":false' in lock

    def has_files(self, folder: str) -> bool:
        """Whether it has written one below this folder of the bucket."""
        return bool(self._files(folder) - self._files_before)

    def reach(self, moment: Callable[["Ingest"], bool]) -> bool:
        """Whether it came to this before it ended."""
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while self.job.poll() is None:
            if moment(self):
                return True
            assert time.monotonic() < deadline, "the ingest hangs"
            time.sleep(POLL_SECONDS)
        return False

    def kill(self) -> None:
        """Spark's JVM first, so that Python's driver and workers can't tell it anything more."""
        processes = self._processes()
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.job.wait()
        psutil.wait_procs(processes[1:], timeout=10)

    def pause(self) -> None:
        for process in self._processes():
            os.kill(process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on to its end."""
        for process in self._processes():
            os.kill(process.pid, signal.SIGCONT)
        self.job.wait(GIVE_UP_SECONDS)

    def _processes(self) -> list[psutil.Process]:
        try:
            jvm = psutil.Process(self.job.pid)
        except psutil.NoSuchProcess:
            return []
        return [jvm, *jvm.children(recursive=True)]

    def _versions(self) -> dict[str, int]:
        """Table -> the number in the name of its metadata file, which each commit raises."""
        catalog = f"file:{self._lakehouse.home.catalog_file}?mode=ro"
        try:
            with closing(sqlite3.connect(catalog, uri=True, timeout=10)) as database:
                rows = database.execute(
                    "SELECT table_namespace || '.' || table_name, metadata_location"
                    " FROM iceberg_tables"
                ).fetchall()
        except sqlite3.OperationalError:
            return {}
        return {name: int(re.search(r"/(\d+)-[^/]*$", location)[1]) for name, location in rows}

    def _files(self, folder: str) -> set[str]:
        root = f"{self._lakehouse.home.bucket}/{folder}"
        below = fs.FileSelector(root, recursive=True, allow_not_found=True)
        return {f.path for f in self._store.get_file_info(below) if f.path.endswith(".parquet")}

    def _lock(self) -> bytes:
        try:
            with self._store.open_input_stream(
                f"{self._lakehouse.home.bucket}/locks/user-events.json"
            ) as file:
                return file.read()
        except FileNotFoundError:
            return b""
