"""LAKEHOUSE_HOME: the one folder that holds a stack's data, logs, ports and credentials."""

import hashlib
import json
import locale
import os
import resource
import secrets
import shutil
import socket
import string
import sys
import tempfile
from pathlib import Path
from typing import Any

import psutil
import pyspark
from platformdirs import user_cache_path, user_state_path
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from lakehouse.errors import LakehouseError
from lakehouse.scratch import make_scratch
from lakehouse.stack import artifacts, class_archive
from lakehouse.stack.java import find_java_home

REPOSITORY = Path(__file__).parents[2]
CONF = REPOSITORY / "conf"
DBT = REPOSITORY / "dbt"
BIN = Path(sys.executable).parent
HOST = "127.0.0.1"
REGION = "us-east-1"
BUCKET = "retail-data"
PREFERRED_PORTS = {
    "kafka": 19092,
    "kafka_controller": 19093,
    "trino": 18080,
    "s3": 18333,
    "s3_grpc": 18334,
    "master": 19333,
    "master_grpc": 19334,
    "volume": 18081,
    "volume_grpc": 18082,
    "filer": 18888,
    "filer_grpc": 18889,
}
# What other installations of Python, Java, Spark, Hadoop, AWS and dbt leave in a shell. Each of
# these ends our commands, holds them up or sends them elsewhere.
FOREIGN = (
    *("PYTHONPATH", "PYTHONHOME", "PYTHONPLATLIBDIR", "PYTHONWARNINGS"),
    *("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"),
    *("PYSPARK_DRIVER_PYTHON", "PYSPARK_DRIVER_PYTHON_OPTS", "PYSPARK_GATEWAY_PORT"),
    *("SPARK_REMOTE", "SPARK_API_MODE", "SPARK_CONNECT_MODE_ENABLED"),
    *("HADOOP_CONF_DIR", "YARN_CONF_DIR"),
    "AWS_SESSION_TOKEN",
    *("DBT_PROFILE", "DBT_TARGET", "DBT_STATE", "DBT_DEFER"),
)
# Spark's JVM alone opens 300 jars, and fails with 256.
LEAST_OPEN_FILES = 1024
DRIVERS = {"sqlite": "org.sqlite.JDBC", "postgresql": "org.postgresql.Driver"}


def _home_of_this_checkout() -> Path:
    digest = hashlib.sha256(str(REPOSITORY).encode()).hexdigest()[:8]
    return user_state_path("retail-lakehouse") / f"{REPOSITORY.name}-{digest}"


class StackSettings(BaseSettings):
    """What a user may set about the local stack, as LAKEHOUSE_HOME, LAKEHOUSE_CATALOG_URI, ..."""

    model_config = SettingsConfigDict(env_prefix="LAKEHOUSE_")

    home: Path = Field(default_factory=_home_of_this_checkout)
    cache: Path = Field(default_factory=lambda: user_cache_path("retail-lakehouse"))
    catalog_uri: str | None = None
    catalog_user: str = "lakehouse"
    catalog_password: str = ""


class Home:
    """Paths, ports, credentials and environment of one stack."""

    def __init__(self, settings: StackSettings):
        for name in FOREIGN:
            os.environ.pop(name, None)
        os.environ |= corrected()
        self.path = settings.home.absolute()
        self.cache = settings.cache.absolute()
        self.scratch = self.path / "scratch"
        self.catalog_file = self.path / "catalog.sqlite"
        self.embedded_catalog = settings.catalog_uri is None
        self.catalog_uri = (
            settings.catalog_uri or f"jdbc:sqlite:{self.catalog_file}?busy_timeout=30000"
        )
        self._catalog_user = settings.catalog_user
        self._catalog_password = settings.catalog_password
        self._create()
        state = self._load()
        self.ports: dict[str, int] = state["ports"]
        self._secret: str = state["secret"]

    def _create(self) -> None:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        if 0 <= most < LEAST_OPEN_FILES:
            raise LakehouseError(
                f"This shell lets a process open {most} files, and Spark needs {LEAST_OPEN_FILES}",
                f"Run `ulimit -n {LEAST_OPEN_FILES}` in a new shell, as root if it is refused",
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            tempfile.TemporaryFile(dir=self.path).close()
        except OSError as error:
            raise LakehouseError(
                f"The data folder {self.path} can't be written: {error.strerror}",
                "Give yourself write access to it or set LAKEHOUSE_HOME to another folder",
            ) from None

    @property
    def _state_file(self) -> Path:
        return self.path / "stack.json"

    def _load(self) -> dict[str, Any]:
        if not self._state_file.exists():
            self._save({"ports": PREFERRED_PORTS, "secret": secrets.token_hex(20)})
        state: dict[str, Any] = json.loads(self._state_file.read_text())
        return state

    def _save(self, state: dict[str, Any]) -> None:
        write_privately(self._state_file, json.dumps(state, indent=2))

    def move_taken_ports(self, names: tuple[str, ...]) -> list[str]:
        """Replace ports that another process holds by free ones; say which, and who holds them."""
        moved = []
        for name in names:
            if _is_free(self.ports[name]):
                continue
            free = _free_port()
            moved.append(
                f"port {self.ports[name]} is held by {_holder(self.ports[name])}; "
                f"{name} moves to {free}"
            )
            self.ports[name] = free
        if moved:
            self._save({"ports": self.ports, "secret": self._secret})
        return moved

    @property
    def exports(self) -> dict[str, str]:
        """Variables that a user's own tools need to join this stack."""
        driver = DRIVERS.get(self.catalog_uri.split(":")[1], "") if ":" in self.catalog_uri else ""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": f"{HOST}:{self.ports['kafka']}",
            "TRINO_HOST": HOST,
            "TRINO_PORT": str(self.ports["trino"]),
            "TRINO_USER": "lakehouse",
            "TRINO_CATALOG": "lake",
            "DBT_PROJECT_DIR": str(DBT),
            "DBT_PROFILES_DIR": str(DBT),
            "ICEBERG_CATALOG_URI": self.catalog_uri,
            "ICEBERG_CATALOG_DRIVER": driver,
            "ICEBERG_CATALOG_USER": self._catalog_user,
            "ICEBERG_CATALOG_PASSWORD": self._catalog_password,
            "ICEBERG_WAREHOUSE": f"s3://{BUCKET}/warehouse",
            "S3_ENDPOINT": f"http://{HOST}:{self.ports['s3']}",
            "AWS_ACCESS_KEY_ID": "lake",
            "AWS_SECRET_ACCESS_KEY": self._secret,
            "AWS_REGION": REGION,
            "JAVA_HOME": str(find_java_home()),
            # Without it, spark-submit looks for itself by a script that breaks on blanks in paths.
            "SPARK_HOME": str(Path(pyspark.__file__).parent),
            "SPARK_LOCAL_IP": HOST,
            # What a killed run leaves on local disk lies here, and the next run removes it.
            "SPARK_LOCAL_DIRS": str(self.scratch),
            **corrected(),
            "SPARK_CONF_DIR": str(self.path / "conf"),
            "PYSPARK_PYTHON": sys.executable,
        }

    @property
    def environment(self) -> dict[str, str]:
        """Environment of a process that joins this stack; .venv comes first on its PATH."""
        path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, **self.exports, "PATH": path}

    @property
    def spark_jars(self) -> Path:
        return artifacts.folder("spark", self.cache)

    @property
    def class_archive(self) -> Path:
        return class_archive.archive_of(self.spark_jars, find_java_home())

    def write_spark_conf(self) -> None:
        """conf/spark-defaults.conf with its names filled in -> SPARK_CONF_DIR."""
        conf = self.path / "conf"
        conf.mkdir(exist_ok=True)
        make_scratch(self.scratch)
        names = {
            **self.exports,
            "SPARK_JARS": str(self.spark_jars),
            "CLASS_ARCHIVE": class_archive.options(self.class_archive),
        }
        template = string.Template((CONF / "spark-defaults.conf").read_text())
        write_privately(conf / "spark-defaults.conf", template.safe_substitute(names))
        shutil.copyfile(CONF / "log4j2.properties", conf / "log4j2.properties")


def corrected() -> dict[str, str]:
    """Return the variables that our processes need to differ from the shell."""
    return without_proxy() | utf_8()


def utf_8() -> dict[str, str]:
    """A locale in which Java can open paths that are not ASCII: without one, as in cron, it can't.

    Python chooses one for itself and notes it as LC_CTYPE, unless LC_ALL forbids it.
    """
    if sys.platform != "linux":
        return {}
    if locale.nl_langinfo(locale.CODESET) != "UTF-8":
        return {"LC_ALL": "C.UTF-8"}
    return {"LC_CTYPE": os.environ["LC_CTYPE"]} if "LC_CTYPE" in os.environ else {}


def without_proxy() -> dict[str, str]:
    """Clients in Python and Java alike would ask a proxy of the environment for 127.0.0.1."""
    hosts = os.environ.get("NO_PROXY", os.environ.get("no_proxy", "")).split(",")
    direct = ",".join(dict.fromkeys(host for host in [*hosts, HOST, "localhost"] if host))
    return {"NO_PROXY": direct, "no_proxy": direct}


def write_privately(path: Path, text: str) -> None:
    """Whole or not at all, readable by the owner alone."""
    with tempfile.NamedTemporaryFile("w", -1, "utf-8", dir=path.parent, delete=False) as file:
        file.write(text)
    os.replace(file.name, path)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _holder(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        pass
    return "another process"
