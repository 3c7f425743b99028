"""Record batches as Kafka's protocol has them, byte by byte: also those that no client would send.

Kafka documents both: "Record Batch" (message format), and the request Produce, version 7.
"""

import gzip
import socket
import struct
from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

NO_COMPRESSION, GZIP, SNAPPY, LZ4, ZSTD = range(5)
_CODECS = {SNAPPY: "snappy", LZ4: "lz4", ZSTD: "zstd"}


class Record(NamedTuple):
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[bytes, bytes | None], ...] = ()


def produce(
    servers: str, topic: str, records: Sequence[Record], timestamp: int, codec: int = NO_COMPRESSION
) -> int:
    """Put one batch into partition 0; returns the offset of its first record."""
    batch = _batch(records, timestamp, codec)
    body = struct.pack(">hhii", -1, -1, 10_000, 1) + _text(topic)
    body += struct.pack(">iii", 1, 0, len(batch)) + batch
    request = struct.pack(">hhi", 0, 7, 1) + _text("tests") + body
    host, _, port = servers.partition(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        (length,) = struct.unpack(">i", _exactly(connection, 4))
        answer = _exactly(connection, length)
    error, offset = struct.unpack_from(">hq", answer, 4 + 4 + 2 + len(topic) + 4 + 4)
    assert error == 0, f"the broker answers with error {error}"
    return offset


def _batch(records: Sequence[Record], timestamp: int, codec: int) -> bytes:
    content = b"".join(_record(number, record) for number, record in enumerate(records))
    if codec == GZIP:
        content = gzip.compress(content)
    elif codec:
        content = pa.Codec(_CODECS[codec]).compress(content, asbytes=True)
    body = struct.pack(">hiqq", codec, len(records) - 1, timestamp, timestamp)
    body += struct.pack(">qhii", -1, -1, -1, len(records)) + content
    after_length = struct.pack(">ibI", -1, 2, _crc32c(body)) + body
    return struct.pack(">qi", 0, len(after_length)) + after_length


def _record(number: int, record: Record) -> bytes:
    body = b"\0" + _varint(0) + _varint(number) + _sized(record.key) + _sized(record.value)
    body += _varint(len(record.headers))
    body += b"".join(_sized(name) + _sized(value) for name, value in record.headers)
    return _varint(len(body)) + body


def _sized(content: bytes | None) -> bytes:
    return _varint(-1) if content is None else _varint(len(content)) + content


def _varint(number: int) -> bytes:
    number = number << 1 if number >= 0 else (-number << 1) - 1
    digits = bytearray()
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*digits, number])


def _text(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()


def _exactly(connection: socket.socket, length: int) -> bytes:
    found = b""
    while len(found) < length:
        piece = connection.recv(length - len(found))
        assert piece, "the broker closed the connection"
        found += piece
    return found


def _table() -> list[int]:
    table = []
    for number in range(256):
        for _ in range(8):
            number = number >> 1 ^ (0x82F63B78 if number & 1 else 0)
        table.append(number)
    return table


_TABLE = _table()


def _crc32c(content: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in content:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF
