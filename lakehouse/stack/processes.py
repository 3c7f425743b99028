"""Start, watch and end the processes of a stack, and no others."""

import contextlib
import fcntl
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psutil

from lakehouse.errors import LakehouseError
from lakehouse.stack import class_archive
from lakehouse.stack.home import Home, write_privately
from lakehouse.stack.services import Kafka, ObjectStore, Service, Trino

START_SECONDS = 120
LOG_LINES = 15

Report = Callable[[str], None]


def services(home: Home) -> list[Service]:
    """List the services in the order in which they depend on each other."""
    return [Kafka(home), ObjectStore(home), Trino(home)]


@dataclass(frozen=True)
class Status:
    """State of a service, as `make status` shows it. RSS in bytes."""

    name: str
    state: str
    pid: int | None
    port: int
    rss: int
    log: str


def status(service: Service) -> Status:
    process = find(service)
    state = "running" if process else "crashed" if service.pid_file.exists() else "stopped"
    rss = process.memory_info().rss if process else 0
    pid = process.pid if process else None
    return Status(service.name, state, pid, service.port, rss, str(service.log))


def find(service: Service) -> psutil.Process | None:
    """The live process of the pid file, not another one that got its number later."""
    try:
        known = json.loads(service.pid_file.read_text())
        process = psutil.Process(known["pid"])
        if process.create_time() == known["created"] and process.status() != psutil.STATUS_ZOMBIE:
            return process
    except (FileNotFoundError, psutil.NoSuchProcess):
        pass
    return None


@contextlib.contextmanager
def only_one_at_a_time(home: Home) -> Iterator[None]:
    """`up` and `down` of the same home take turns."""
    with (home.path / "stack.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def up(home: Home, report: Report) -> bool:
    """Start what does not run and wait until it is ready. False if all ran already."""
    with only_one_at_a_time(home):
        missing = [service for service in services(home) if not find(service)]
        for service in missing:
            if service.pid_file.exists():
                report(f"{service.name} had crashed; the end of {service.log}:\n{_tail(service)}")
            for line in home.move_taken_ports(service.ports):
                report(line)
        class_archive.make(home, report)
        home.write_spark_conf()
        try:
            with ThreadPoolExecutor(max_workers=len(missing) or 1) as pool:
                list(pool.map(lambda service: start(service, report), missing))
        except BaseException:
            stop(missing, report)
            raise
    return bool(missing)


def down(home: Home, report: Report) -> None:
    """End what runs, dependents first."""
    with only_one_at_a_time(home):
        stop(services(home), report)


def start(service: Service, report: Report) -> None:
    started = time.monotonic()
    service.data.mkdir(parents=True, exist_ok=True)
    service.log.parent.mkdir(exist_ok=True)
    service.prepare()
    with service.log.open("a") as log:
        child = subprocess.Popen(
            service.command(),
            cwd=service.cwd,
            env={**os.environ, **service.environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    created = psutil.Process(child.pid).create_time()
    write_privately(service.pid_file, json.dumps({"pid": child.pid, "created": created}))
    _wait_until_ready(service, child)
    report(f"{service.name} ready on port {service.port} after {time.monotonic() - started:.1f} s")


def _wait_until_ready(service: Service, child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        if child.poll() is not None:
            raise LakehouseError(
                f"{service.name} ended with exit code {child.returncode} while starting; "
                f"the end of {service.log}:\n{_tail(service)}\n",
                "Resolve what the log names and run `make up` again",
            )
        try:
            service.check()
        except Exception as error:
            if time.monotonic() > deadline:
                raise LakehouseError(
                    f"{service.name} was not ready within {START_SECONDS} s: {error}",
                    f"See {service.log}",
                ) from None
            time.sleep(0.2)
        else:
            return


def stop(running: Sequence[Service], report: Report) -> None:
    for service in reversed(running):
        if process := find(service):
            process.terminate()
            try:
                process.wait(service.stop_seconds)
                report(f"{service.name} stopped")
            except psutil.TimeoutExpired:
                process.kill()
                process.wait()
                is_usual = service.kill_loses_nothing
                how = "stopped" if is_usual else f"killed after {service.stop_seconds} s"
                report(f"{service.name} {how}")
        service.pid_file.unlink(missing_ok=True)


def _tail(service: Service) -> str:
    lines = service.log.read_text(errors="replace").splitlines() if service.log.exists() else []
    return "\n".join(f"    {line}" for line in lines[-LOG_LINES:])
