import hashlib
import socket
import tomllib
from pathlib import Path

import pytest

from lakehouse.errors import LakehouseError
from lakehouse.stack import artifacts, java
from lakehouse.stack.home import Home, StackSettings


def a_home(path: Path, **settings: str) -> Home:
    return Home(StackSettings(home=path, cache=path / "cache", **settings))


def test_a_taken_port_moves_and_names_its_holder(tmp_path):
    home = a_home(tmp_path)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        home.ports["trino"] = taken
        (message,) = home.move_taken_ports(("trino",))
    assert f"port {taken} is held by" in message
    assert "python" in message or "pytest" in message
    assert home.ports["trino"] != taken
    assert a_home(tmp_path).ports["trino"] == home.ports["trino"]


def test_a_home_keeps_its_credentials_to_its_owner(tmp_path):
    home = a_home(tmp_path)
    assert (
        a_home(tmp_path).exports["AWS_SECRET_ACCESS_KEY"] == home.exports["AWS_SECRET_ACCESS_KEY"]
    )
    assert (tmp_path / "stack.json").stat().st_mode & 0o077 == 0


def test_a_data_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LakehouseError, match=r"data folder .*file/home can't be written"):
        a_home(tmp_path / "file" / "home")


def test_a_catalog_of_ones_own_reaches_spark_and_trino(tmp_path):
    home = a_home(tmp_path, catalog_uri="jdbc:postgresql://db/lake", catalog_password="secret")
    home.write_spark_conf()
    conf = (tmp_path / "conf" / "spark-defaults.conf").read_text()
    assert "jdbc:postgresql://db/lake" in conf
    assert home.exports["ICEBERG_CATALOG_DRIVER"] == "org.postgresql.Driver"
    assert "${" not in "".join(line for line in conf.splitlines() if not line.startswith("#"))


def test_only_java_17_and_21_serve_spark(tmp_path, monkeypatch):
    for version in ("25.0.1", "21.0.4"):
        jdk = tmp_path / version
        (jdk / "bin").mkdir(parents=True)
        (jdk / "bin" / "java").touch()
        (jdk / "release").write_text(f'JAVA_VERSION="{version}"\n')
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(java, "USUAL_FOLDERS", (str(tmp_path / "*"),))
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "25.0.1"))
    assert java.find_java_home() == tmp_path / "21.0.4"

    (tmp_path / "21.0.4" / "release").unlink()
    with pytest.raises(LakehouseError, match="needs a JDK 17 or 21"):
        java.find_java_home()


def test_the_lock_names_each_file_with_size_and_digest():
    lock = tomllib.loads(artifacts.LOCK.read_text())
    for section in lock.values():
        for coordinates, facts in section.items():
            assert len(coordinates.split(":")) in (3, 4)
            assert facts["size"] > 0
            assert len(bytes.fromhex(facts["sha256"])) == hashlib.sha256().digest_size


def test_a_download_with_another_digest_is_discarded(tmp_path):
    artifact = artifacts.Artifact("org.example", "thing", "1.0", "jar", 3, "0" * 64)
    file = tmp_path / "downloading" / "files" / "org.example" / "thing-1.0.jar"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"bad")
    with pytest.raises(LakehouseError, match=r"thing-1.0.jar has sha256 .* the lock says 000"):
        artifacts._verify(artifact, tmp_path / "downloading" / "files", tmp_path / "ivy.log")
    assert not file.exists()


def test_what_the_benchmark_alone_needs_is_fetched_on_demand(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(artifacts, "_missing", lambda _cache, names: asked.extend(names))
    artifacts.fetch(tmp_path)
    assert asked == ["spark", "kafka", "trino"]
    artifacts.fetch(tmp_path, ["connect"])
    assert asked[3:] == ["connect"]
