"""conf/distributions.toml -> verified jars and servers in the cache, fetched with Spark's Ivy."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pyspark
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from lakehouse.errors import LakehouseError
from lakehouse.stack.java import find_java_home

LOCK = Path(__file__).parents[2] / "conf" / "distributions.toml"
SECTIONS = {
    "spark": ("spark", "catalog"),
    "kafka": ("kafka",),
    "trino": ("trino", "catalog"),
    "connect": ("connect",),
}
# Of the stack and its jobs; `make bench` alone needs more.
STACK = ("spark", "kafka", "trino")
# Each module comes as itself: its POM would bring its dependencies, and those are in the lock.
IVY_SETTINGS = """<ivysettings>
  <settings defaultResolver="central" defaultConflictManager="all"/>
  <caches defaultCacheDir={cache}/>
  <resolvers><ibiblio name="central" m2compatible="true" usepoms="false"/></resolvers>
</ivysettings>
"""
PLUGIN = Path("plugin") / "iceberg"
# As the shell has it: options for any Java that are not for a stack can name the way to a proxy.
ENVIRONMENT = dict(os.environ)
RETRIEVED = "[organisation]/[artifact]-[revision].[ext]"


@dataclass(frozen=True)
class Artifact:
    """A file in a Maven repository. Size in bytes."""

    group: str
    name: str
    version: str
    extension: str
    size: int
    sha256: str

    @property
    def file_name(self) -> str:
        return f"{self.name}-{self.version}.{self.extension}"

    @property
    def ivy_dependency(self) -> str:
        return (
            f'<dependency org="{self.group}" name="{self.name}" rev="{self.version}"'
            f' conf="default" transitive="false"><artifact name="{self.name}"'
            f' type="{self.extension}" ext="{self.extension}"/></dependency>'
        )


def locked(distribution: str) -> list[Artifact]:
    """The files of a distribution, one of SECTIONS."""
    lock = tomllib.loads(LOCK.read_text())
    return [
        _artifact(coordinates, **facts)
        for section in SECTIONS[distribution]
        for coordinates, facts in lock[section].items()
    ]


def _artifact(coordinates: str, size: int, sha256: str) -> Artifact:
    group, name, version, extension = f"{coordinates}:jar".split(":")[:4]
    return Artifact(group, name, version, extension, size, sha256)


def folder(distribution: str, cache: Path) -> Path:
    """Return a distribution's folder, which is complete if it exists; each lock has its own."""
    text = "".join(artifact.sha256 for artifact in locked(distribution))
    return cache / f"{distribution}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def fetch(cache: Path, distributions: Iterable[str] = STACK) -> None:
    """Bring what the cache lacks. Interrupted, it goes on with the next file when run again."""
    if not _missing(cache, distributions):
        return
    cache.mkdir(parents=True, exist_ok=True)
    with _locked_by_us(cache / "fetch.lock"):
        missing = _missing(cache, distributions)
        if not missing:
            return
        wanted = {a.sha256: a for distribution in missing for a in locked(distribution)}
        downloads = _download(list(wanted.values()), cache)
        for distribution in missing:
            _install(distribution, downloads, cache)
        shutil.rmtree(downloads.parent)
        megabytes = sum(artifact.size for artifact in wanted.values()) / 1e6
        print(f"fetched and verified {megabytes:.0f} MB into {cache}", file=sys.stderr)


def _missing(cache: Path, distributions: Iterable[str]) -> list[str]:
    return [
        distribution for distribution in distributions if not folder(distribution, cache).is_dir()
    ]


@contextmanager
def _locked_by_us(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _download(artifacts: list[Artifact], cache: Path) -> Path:
    """Ivy's copy of each artifact, verified. The folder outlives an interruption on purpose."""
    work = cache / "downloading"
    (work / "ivy").mkdir(parents=True, exist_ok=True)
    settings, module = work / "ivysettings.xml", work / "ivy.xml"
    settings.write_text(IVY_SETTINGS.format(cache=quoteattr(str(work / "ivy"))))
    module.write_text(
        '<ivy-module version="2.0"><info organisation="retail" module="lakehouse"/>'
        '<configurations><conf name="default"/></configurations><dependencies>'
        + "".join(artifact.ivy_dependency for artifact in artifacts)
        + "</dependencies></ivy-module>"
    )
    (ivy,) = (Path(pyspark.__file__).parent / "jars").glob("ivy-*.jar")
    command = [
        find_java_home() / "bin" / "java",
        "-jar",
        ivy,
        "-settings",
        settings,
        "-ivy",
        module,
    ]
    files = work / "files"
    log = work / "ivy.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*map(str, command), "-retrieve", f"{files}/{RETRIEVED}"],
            env=ENVIRONMENT,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            _show_progress(process, work / "ivy", sum(artifact.size for artifact in artifacts))
        finally:
            process.kill()
            process.wait()
    for artifact in artifacts:
        _verify(artifact, files, log)
    return files


def _show_progress(process: subprocess.Popen[bytes], ivy_cache: Path, total: int) -> None:
    """A bar on a terminal, else a line every five seconds."""
    console = Console(stderr=True)
    what = "fetching jars and servers"
    if not console.is_terminal:
        last = 0.0
        while process.poll() is None:
            if time.monotonic() - last >= 5:
                last = time.monotonic()
                done = min(_bytes_in(ivy_cache), total) / 1e6
                console.print(f"{what}: {done:.0f} of {total / 1e6:.0f} MB", highlight=False)
            time.sleep(0.1)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(what, total=total)
        while process.poll() is None:
            progress.update(task, completed=_bytes_in(ivy_cache))
            time.sleep(0.2)
        progress.update(task, completed=total)


def _bytes_in(path: Path) -> int:
    total = 0
    for file in path.rglob("*"):
        try:
            total += file.stat().st_size if file.is_file() else 0
        except FileNotFoundError:  # Ivy renames a .part file when it is whole
            continue
    return total


def _verify(artifact: Artifact, files: Path, log: Path) -> None:
    path = files / artifact.group / artifact.file_name
    if not path.is_file():
        raise LakehouseError(
            f"{artifact.group}:{artifact.name}:{artifact.version} could not be fetched",
            f"Check network and proxy settings and run the same command again; Ivy's log is {log}",
        )
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != artifact.sha256:
        shutil.rmtree(files.parent)
        raise LakehouseError(
            f"{artifact.file_name} has sha256 {found}, the lock says {artifact.sha256}",
            "It was discarded: run the same command again, and if this stays, distrust the mirror",
        )


def _install(distribution: str, downloads: Path, cache: Path) -> None:
    """Install a distribution with one rename: all of it, or nothing."""
    with tempfile.TemporaryDirectory(dir=cache, prefix=f"{distribution}-") as temporary:
        complete = Path(temporary) / "complete"
        complete.mkdir()
        for artifact in locked(distribution):
            file = downloads / artifact.group / artifact.file_name
            _UNPACKERS.get(artifact.extension, _link)(file, complete)
        os.rename(complete, folder(distribution, cache))


def _link(jar: Path, target: Path) -> None:
    plugin = target / PLUGIN
    os.link(jar, (plugin if plugin.is_dir() else target) / jar.name)


def _unpack_server(archive: Path, target: Path) -> None:
    """Trino's lib/ alone: the other plugins of the server are not used here and cost start-up."""
    with tarfile.open(archive) as tar:
        # Python 3.11.2, which Debian 12 has, knows no filter; the archive is verified in any case.
        tar.extraction_filter = getattr(tarfile, "data_filter", lambda member, _path: member)
        for member in tar:
            member.name = member.name.partition("/")[2]
            if member.name.startswith("lib/"):
                tar.extract(member, target)


def _unpack_plugin(archive: Path, target: Path) -> None:
    """trino-iceberg-476/*.jar -> plugin/iceberg/*.jar"""
    with zipfile.ZipFile(archive) as zipped:
        zipped.extractall(target / "plugin")  # noqa: S202 (its sha256 is in the lock)
    (target / "plugin" / archive.stem).rename(target / PLUGIN)


_UNPACKERS: dict[str, Callable[[Path, Path], None]] = {
    "tar.gz": _unpack_server,
    "zip": _unpack_plugin,
}
