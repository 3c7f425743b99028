"""What stays true when a disk or a worker's memory is full, and when Spark does a task twice."""

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import psutil
import pytest
from broker import EVENT
from confluent_kafka import Producer
from lakehouses import Job, Lakehouse, free_ports

from lakehouse.errors import LakehouseError
from lakehouse.stack import processes
from lakehouse.stack.home import Home
from lakehouse.stack.services import Kafka, ObjectStore

NOW = datetime(2026, 3, 5, 10, tzinfo=UTC)
MEGABYTE = 2**20
WAIT_SECONDS = 300


class Disk:
    """A file system of its own."""

    def __init__(self, path: Path, size: int):
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)]
        done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")

    def resize(self, size: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", str(self.path)], check=True)

    def unmount(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.path)], check=True)


@pytest.fixture
def new_disk() -> Iterator[Callable[[Path, int], Disk]]:
    disks: list[Disk] = []

    def make(path: Path, size: int) -> Disk:
        disks.append(Disk(path, size))
        return disks[-1]

    yield make
    for disk in disks:
        disk.unmount()


def events(name: str, count: int, days: int = 1, filling: int = 0) -> Iterator[str]:
    """One after the other on so many days before, with so many bytes that can't be compressed."""
    random = Random(name)
    for number in range(count):
        event = json.loads(EVENT.format(id=f"{name}-{number}"))
        event["event_timestamp"] = (NOW - timedelta(days=number % days)).isoformat()
        yield json.dumps(event | {"filling": random.randbytes(filling // 2).hex()})


def produce(lakehouse: Lakehouse, values: Iterator[str], ledger: Path | None = None) -> int:
    """How many were acknowledged; these are noted in the ledger."""
    producer = Producer(
        {
            "bootstrap.servers": lakehouse.settings.kafka_bootstrap_servers,
            "message.timeout.ms": 10_000,
            "log_level": 0,
        }
    )
    lines: list[str] = []

    def note(error, message) -> None:
        if not error:
            where = {"topic": message.topic(), "partition": message.partition()}
            lines.append(json.dumps(where | {"offset": message.offset()}))

    for value in values:
        producer.produce("user-events", value, key="u", on_delivery=note)
        producer.poll(0)
    producer.flush(60)
    if ledger:
        ledger.write_text("".join(f"{line}\n" for line in lines))
    return len(lines)


def ingest(lakehouse: Lakehouse, *options: str, **variables: str) -> Job:
    """Run in a process of its own, with these variables set."""
    changed = {"WRITER_LEASE_SECONDS": "60", **variables}
    settings = [f"{name}={value}" for name, value in changed.items()]
    return Job(["env", *settings, "spark-submit", *options, "jobs/ingest.py"], lakehouse.home)


def error_of(job: Job) -> str:
    """The one line with which it ends."""
    job.wait(WAIT_SECONDS)
    assert job.returncode == 1, job.printed
    *_, last = job.printed.splitlines()
    assert last.startswith("error: "), job.printed
    return last


def assert_passed(job: Job) -> None:
    job.wait(WAIT_SECONDS)
    assert job.returncode == 0, job.printed


def assert_conserved(lakehouse: Lakehouse, count: int, **options) -> None:
    audit = lakehouse.audit(**options)
    assert audit.verdict == f"conserved: {count:,} messages, each exactly once", audit.findings
    assert lakehouse.count("staging.stg_user_events") == count


def test_a_worker_whose_temporary_folder_is_full_says_which(lakehouse, new_disk, tmp_path):
    """It keeps the rows of many days there until their files are written."""
    disk = new_disk(tmp_path / "temporary", MEGABYTE // 4)
    produce(lakehouse, events("spooled", 3000, days=1500))
    error = error_of(ingest(lakehouse, TMPDIR=str(disk.path)))
    assert re.search(rf"No space left on device.*{disk.path}", error)
    assert lakehouse.count("raw.user_events") == 0
    disk.resize(64 * MEGABYTE)
    assert_passed(ingest(lakehouse, TMPDIR=str(disk.path)))
    assert_conserved(lakehouse, 3000)


def test_a_driver_whose_temporary_folder_is_full_says_which(
    lakehouse, new_disk, tmp_path, monkeypatch
):
    disk = new_disk(tmp_path / "temporary", MEGABYTE // 4)
    (disk.path / "filling").write_bytes(bytes(MEGABYTE // 4 - 4096))
    produce(lakehouse, events("planned", 20))
    with monkeypatch.context() as patch:
        patch.setenv("SPARK_LOCAL_DIRS", str(disk.path))
        with pytest.raises(LakehouseError, match=rf"No space left on device.*{disk.path}"):
            lakehouse.ingest()
        (disk.path / "filling").unlink()
        lakehouse.ingest()
    assert_conserved(lakehouse, 20)


class RoomyStore(ObjectStore):
    """Has more volumes than its small disk would be given: the disk is full before they are."""

    def command(self) -> list[str]:
        return [*super().command(), "-volume.max=100"]


def test_a_full_store_ends_the_run_and_the_next_goes_on(own_services, lakehouse_on, new_disk):
    store = RoomyStore(own_services)
    disk = new_disk(store.data, 32 * MEGABYTE)
    processes.start(Kafka(own_services), print)
    processes.start(store, print)
    lakehouse = lakehouse_on(own_services)
    lakehouse.create_tables()
    produce(lakehouse, events("large", 400, filling=100_000))
    # Nine attempts of the client for each of four of a task would take five minutes.
    once = "--conf=spark.sql.catalog.lake.s3.retry.num-retries=0"
    error = error_of(ingest(lakehouse, once, RETRY_SECONDS="3"))
    print(error)
    assert lakehouse.count("raw.user_events") == 0
    disk.resize(1024 * MEGABYTE)
    processes.stop([store], print)
    processes.start(store, print)
    lakehouse.ingest_when_free()
    assert_conserved(lakehouse, 400)


def test_a_full_broker_loses_nothing_that_it_has_acknowledged(
    own_services, lakehouse_on, new_disk, tmp_path
):
    broker = Kafka(own_services)
    disk = new_disk(broker.data, 64 * MEGABYTE)
    processes.start(broker, print)
    processes.start(ObjectStore(own_services), print)
    lakehouse = lakehouse_on(own_services)
    first = produce(lakehouse, events("fitting", 100))
    lakehouse.ingest()
    ledger = tmp_path / "acknowledged.jsonl"
    acknowledged = produce(lakehouse, events("large", 1000, filling=100_000), ledger)
    assert 0 < acknowledged < 1000
    error = error_of(ingest(lakehouse, RETRY_SECONDS="3"))
    print(error)
    disk.resize(1024 * MEGABYTE)
    processes.stop([broker], print)
    processes.start(broker, print)
    lakehouse.ingest_when_free()
    audit = lakehouse.audit(ledger=ledger)
    assert audit.findings == []
    assert (audit.acknowledged, audit.not_yet_taken_in) == (acknowledged, 0)
    # A message may be there whose acknowledgement was lost.
    assert lakehouse.count("raw.user_events") >= first + acknowledged


def test_workers_without_memory_end_the_run_in_one_line(lakehouse):
    produce(lakehouse, events("limited", 1000))
    error = error_of(ingest(lakehouse, "--conf=spark.executor.pyspark.memory=512m"))
    print(error)
    assert lakehouse.count("raw.user_events") == 0
    assert_passed(ingest(lakehouse, "--conf=spark.executor.pyspark.memory=2g"))
    assert_conserved(lakehouse, 1000)


# Two tasks of this many messages, one on each executor.
TASK = 60_000


@pytest.fixture
def cluster(home: Home, tmp_path: Path) -> Iterator[str]:
    """Spark's own, of two workers; speculation never gives a host the same task twice."""
    log = (tmp_path / "cluster.log").open("w")
    started = []

    def start(role: str, host: str, *options: str) -> None:
        spark_class = f"{home.exports['SPARK_HOME']}/bin/spark-class"
        place = ("--host", host, "--webui-port", "0")
        words = [spark_class, f"org.apache.spark.deploy.{role}", *place, *options]
        variables = home.environment | {"SPARK_LOCAL_IP": host}
        started.append(subprocess.Popen(words, env=variables, stdout=log, stderr=log))

    (port,) = free_ports(["master"]).values()
    address = f"spark://127.0.0.1:{port}"
    start("master.Master", "127.0.0.1", "--port", str(port))
    for number in (1, 2):
        size = ("--cores", "1", "--memory", "1g")
        work = ("--work-dir", str(tmp_path / f"worker-{number}"))
        start("worker.Worker", f"127.0.0.{number}", *size, *work, address)
    yield address
    for process in started:
        process.terminate()
        process.wait(20)
    log.close()


def started_on(cluster: str, lakehouse: Lakehouse, *options: str) -> Job:
    """An ingest that waits for both workers."""
    both = "--conf=spark.scheduler.minRegisteredResourcesRatio=1"
    return ingest(lakehouse, f"--master={cluster}", "--executor-memory=900m", both, *options)


def busy_executor(job: Job, folder: Path) -> tuple[psutil.Process, list[psutil.Process]]:
    """One of two that both run a task in Python, and its workers."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline and job.poll() is None:
        found = []
        for each in psutil.process_iter(["cmdline", "cwd"]):
            if str(folder) in (each.info["cwd"] or "") and "-cp" in (each.info["cmdline"] or []):
                with suppress(psutil.NoSuchProcess):
                    daemons = each.children()
                    found.append((each, [child for d in daemons for child in d.children()]))
        if len(found) == 2 and all(workers for _, workers in found):
            return found[0]
        time.sleep(0.05)
    raise AssertionError(job.printed)


def test_an_executor_that_is_lost_costs_no_message(lakehouse, cluster, tmp_path):
    lakehouse.create_tables()
    produce(lakehouse, events("lost", 2 * TASK))
    job = started_on(cluster, lakehouse)
    executor, workers = busy_executor(job, tmp_path)
    for process in (executor, *workers):
        process.kill()
    assert_passed(job)
    assert "Lost executor" in job.printed
    assert_conserved(lakehouse, 2 * TASK)


def test_a_task_that_hangs_is_done_again_elsewhere_and_counts_once(lakehouse, cluster, tmp_path):
    lakehouse.create_tables()
    produce(lakehouse, events("slow", 2 * TASK))
    speculation = {"": "true", ".interval": "100ms", ".quantile": "0.5", ".multiplier": "1.1"}
    options = (f"--conf=spark.speculation{name}={value}" for name, value in speculation.items())
    job = started_on(cluster, lakehouse, *options)
    _, workers = busy_executor(job, tmp_path)
    for worker in workers:
        worker.suspend()
    # What is suspended finishes nothing: its task has to be done on the other host.
    try:
        assert_passed(job)
    finally:
        for worker in workers:
            with suppress(psutil.NoSuchProcess):
                worker.kill()
    assert_conserved(lakehouse, 2 * TASK)
