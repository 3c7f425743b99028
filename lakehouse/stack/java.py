"""Find a Java that Spark 4.1 runs on."""

import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

from lakehouse.errors import LakehouseError

# Spark 4.1 fails on 24 and later: "getSubject is not supported".
SUPPORTED = ("17", "21")
USUAL_FOLDERS = (
    "/usr/lib/jvm/*",
    "/opt/*",
    "/Library/Java/JavaVirtualMachines/*/Contents/Home",
    "/opt/homebrew/opt/openjdk*/libexec/openjdk.jdk/Contents/Home",
)
SDKMAN_FOLDER = ".sdkman/candidates/java/*"


def find_java_home() -> Path:
    """JAVA_HOME if it fits, else the java on PATH, else the newest in the usual folders."""
    for home in _candidates():
        if _major_version(home) in SUPPORTED:
            return home
    raise LakehouseError(
        "Spark needs a JDK 17 or 21, and JAVA_HOME, PATH and the usual folders have none",
        f"Install one ({_how_to_install()}) or set JAVA_HOME to it",
    )


def _candidates() -> Iterator[Path]:
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home)
    if java := shutil.which("java"):
        yield Path(java).resolve().parent.parent
    for pattern in USUAL_FOLDERS:
        yield from sorted(Path("/").glob(pattern.lstrip("/")), reverse=True)
    yield from sorted(Path.home().glob(SDKMAN_FOLDER), reverse=True)


def _major_version(home: Path) -> str | None:
    """Read the major version in the `release` file of a JDK; None where there is no JDK."""
    release = home / "release"
    if not release.is_file() or not (home / "bin" / "java").exists():
        return None
    for line in release.read_text(errors="replace").splitlines():
        if line.startswith("JAVA_VERSION="):
            return line.split('"')[1].split(".")[0]
    return None


def _how_to_install() -> str:
    if platform.system() == "Darwin":
        return "brew install openjdk@21"
    return "for example: apt-get install openjdk-17-jre-headless"
