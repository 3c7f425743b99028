"""A command -> CPU seconds and peak memory of it and of all that it starts."""

import os
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

SAMPLES_PER_SECOND = 5
POLL_SECONDS = 0.5
# For a process to end once it is told to, or its parent is gone.
LINGER_SECONDS = 20


def own_cgroup() -> Path | None:
    """Return the control group (v2) below which another can be made; None if there is none."""
    with suppress(OSError, StopIteration):
        mounts = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
        mount = next(fields[1] for fields in mounts if fields[2] == "cgroup2")
        lines = Path("/proc/self/cgroup").read_text().splitlines()
        path = next(line[3:] for line in lines if line.startswith("0::"))
        parent = Path(mount) / path.lstrip("/")
        # A process may also lack the right to move there.
        if os.access(parent / "cgroup.procs", os.W_OK) and os.access(parent, os.W_OK):
            return parent
    return None


@dataclass(frozen=True)
class Cost:
    """Cost of a job, from its start until the last of its processes has ended."""

    cpu_seconds: float
    wall_seconds: float
    peak_rss_bytes: int
    exit_code: int
    # The largest of Spark's Python workers, at any time.
    peak_worker_bytes: int = 0


class Job:
    """A running command whose processes are accounted for.

    Linux sums the CPU time of a control group exactly, whoever waits for its processes or does not:
    Spark's JVM kills its Python daemon, whose workers nobody waits for, so getrusage misses them.
    Without the right to make a group, the times that were last seen of each process are added up: a
    process may have spent a fifth of a second more.
    """

    def __init__(
        self, words: list[str], cwd: Path, environment: Mapping[str, str], log: Path
    ) -> None:
        parent = own_cgroup()
        self._group = parent / f"bench-{uuid.uuid4().hex}" if parent else None
        if self._group:
            self._group.mkdir()
            # The shell moves itself, so that not even the start of the command is missed.
            enter = f'echo 0 > "{self._group}/cgroup.procs" && exec "$@"'
            words = ["/bin/sh", "-c", enter, "sh", *words]
        self._seen: dict[psutil.Process, float] = {}
        self._peak = self._peak_worker = 0
        self._started = time.monotonic()
        with log.open("w") as output:
            self._process = psutil.Popen(
                words, cwd=cwd, env=dict(environment), stdout=output, stderr=subprocess.STDOUT
            )
        self._seen[psutil.Process(self._process.pid)] = 0
        self._is_over = threading.Event()
        self._sampler = threading.Thread(target=self._sample_often, daemon=True)
        self._sampler.start()

    def finish(self, timeout: float, is_done: Callable[[], bool] | None = None) -> Cost:
        """Wait until the job ends, or end it once it is done; kill what goes on for too long."""
        deadline = time.monotonic() + timeout
        try:
            while self._process.is_running() and time.monotonic() < deadline:
                with suppress(psutil.TimeoutExpired):
                    self._process.wait(POLL_SECONDS)
                if is_done and is_done():
                    self._process.terminate()
                    deadline, is_done = time.monotonic() + LINGER_SECONDS, None
        finally:
            self._end_all()
        wall = time.monotonic() - self._started
        exit_code = self._process.wait()
        return Cost(self._cpu_seconds(), wall, self._peak, exit_code, self._peak_worker)

    def _end_all(self) -> None:
        """Workers need a moment to see that their parent is gone."""
        if self._process.is_running():
            self._process.kill()
        self._process.wait()
        _, alive = psutil.wait_procs(self._members(), LINGER_SECONDS)
        for process in alive:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(alive, LINGER_SECONDS)
        self._is_over.set()
        self._sampler.join()

    def _cpu_seconds(self) -> float:
        if not self._group:
            return sum(self._seen.values())
        stat = (self._group / "cpu.stat").read_text()
        self._group.rmdir()
        return int(stat.split()[1]) / 1e6

    def _sample_often(self) -> None:
        while not self._is_over.wait(1 / SAMPLES_PER_SECOND):
            memory = 0
            for process in self._members():
                with suppress(psutil.NoSuchProcess), process.oneshot():
                    rss = process.memory_info().rss
                    memory += rss
                    if "pyspark.worker" in process.cmdline():
                        self._peak_worker = max(self._peak_worker, rss)
                    self._seen[process] = sum(process.cpu_times()[:2])
            self._peak = max(self._peak, memory)

    def _members(self) -> set[psutil.Process]:
        """The living, also those whose parent has ended."""
        if self._group:
            pids = map(int, (self._group / "cgroup.procs").read_text().split())
            return {process for pid in pids for process in _found(pid)}
        known = {process for process in list(self._seen) if process.is_running()}
        for process in list(known):
            with suppress(psutil.NoSuchProcess):
                known.update(process.children(recursive=True))
        return known


def _found(pid: int) -> list[psutil.Process]:
    try:
        return [psutil.Process(pid)]
    except psutil.NoSuchProcess:
        return []
