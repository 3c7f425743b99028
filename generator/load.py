"""A JSON Lines file, plain or gzipped -> messages, each line byte for byte."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from generator.messages import CommandError, Message
from lakehouse.contracts import Contract


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of each line that is not blank, without its line end."""
    try:
        with _opened(path) as file:
            for number, line in enumerate(file, start=1):
                content = line.removesuffix(b"\n").removesuffix(b"\r")
                if content.strip():
                    yield number, content
    except FileNotFoundError:
        raise CommandError(f"{path} does not exist; check the path") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CommandError(f"{path} is not a whole gzip file: {error}; copy it again") from None
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}") from None


def _opened(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path) if path.suffix == ".gz" else path.open("rb"))


def check(path: Path, keep_bad: bool) -> int:
    """How many lines there are to send. Refuses a line that is not JSON, unless it is to stay."""
    count = 0
    for number, line in lines(path):
        count += 1
        if not keep_bad:
            try:
                msgspec.json.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise CommandError(
                    f"{path}:{number} is not JSON ({error}); "
                    "fix the line or pass --keep-bad to send it as it is"
                ) from None
    return count


def messages(path: Path, contract: Contract) -> Iterator[Message]:
    """One message per line, keyed by the contract's key field where the line has it."""
    for _, line in lines(path):
        yield Message(contract.topic, _key(line, contract.key), line)


def _key(line: bytes, field: str) -> bytes | None:
    try:
        payload = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    key = payload.get(field) if isinstance(payload, dict) else None
    return key.encode() if isinstance(key, str) else None
