"""Messages that no sound client would send, on a real broker."""

import time
from collections import Counter
from random import Random

import wire
from broker import EVENT
from wire import Record

NOT_UTF8 = (b"\xff\xfe", b"caf\xe9", b"\xed\xa0\x80", b"ok\xc0")
HEADERS = (
    ((b"source", b"app"), (b"empty", b""), (b"null", None)),
    ((b"", b"\0\xff"), (b"", None)),
    (("ünïcode ☕".encode(), b"x" * 300),) * 20,
)
# 100 batches of 100 records in each of five compressions, half of them of each kind of time.
BATCHES, RECORDS = 100, 100
LATEST = 2**63 - 1


def good(number: int) -> bytes:
    return EVENT.format(id=f"fuzz-{number}").encode()


def fuzzed(number: int, random: Random) -> tuple[Record, str | None]:
    """A record, and its class: None where it is an event, unless its time is against it."""
    value = good(number)
    kinds = [
        (Record(b"u", value), None),
        (Record(b"u", value, random.choice(HEADERS)), None),
        (Record(b"u", value, ((b"a", b"1"), (random.choice(NOT_UTF8), b"2"), (b"", None))), None),
        (Record(None, None), "EMPTY_VALUE"),
        (Record(b"", b"", ((b"", None),)), "EMPTY_VALUE"),
        (Record(random.randbytes(9), None), "EMPTY_VALUE"),
        (Record(b"u", b"\0\0" + random.randbytes(3) + value), "SCHEMA_REGISTRY"),
        (Record(b"u", b"\xff" + random.randbytes(random.randrange(300))), "INVALID_UTF8"),
        (Record(b"u", b"not JSON"), "MALFORMED_JSON"),
        (Record(None, value), "KEY_MISMATCH"),
        (Record(b"", value), "KEY_MISMATCH"),
        (Record(b"u\xff", value), "KEY_MISMATCH"),
    ]
    return random.choice(kinds)


def named(headers) -> list[tuple] | None:
    return headers and [tuple(header) for header in headers]


def readable(headers: tuple) -> list[tuple] | None:
    """Each byte of a name that is not UTF-8 stands as \\xNN."""
    return [(name.decode(errors="backslashreplace"), value) for name, value in headers] or None


def test_ten_thousand_fuzzed_records_are_all_accounted_for_and_stop_nothing(lakehouse):
    unlimited = {"message.timestamp.after.max.ms": str(LATEST)}
    lakehouse.create_topics(1, **unlimited)
    random, expected, sent = Random(20), Counter(), {}
    now = int(time.time() * 1000)
    for batch in range(BATCHES):
        has_append_time = batch >= BATCHES // 2
        if batch == BATCHES // 2:
            lakehouse.configure("user-events", **{"message.timestamp.type": "LogAppendTime"})
        timestamp = (now, 0, -1, LATEST)[batch // 5 % 4]
        is_early = timestamp <= 0 and not has_append_time
        chosen = [fuzzed(batch * RECORDS + number, random) for number in range(RECORDS)]
        for _, error_class in chosen:
            is_late = is_early and error_class in (None, "KEY_MISMATCH")
            expected["TIMESTAMP_OUT_OF_RANGE" if is_late else error_class] += 1
        records = [record for record, _ in chosen]
        servers = lakehouse.settings.kafka_bootstrap_servers
        first = wire.produce(servers, "user-events", records, timestamp, codec=batch % 5)
        sent.update((first + number, record) for number, record in enumerate(records))

    assert lakehouse.ingest()["user-events"].total.read == BATCHES * RECORDS
    letters = lakehouse.spark.table("lake.ops.dead_letters").groupBy("error_class").count()
    found = Counter({row["error_class"]: row["count"] for row in letters.collect()})
    found[None] = lakehouse.count("staging.stg_user_events")
    assert found == expected
    rows = lakehouse.spark.table("lake.raw.user_events").collect()
    assert {row.offset: (row.key, row.value, named(row.headers)) for row in rows} == {
        offset: (record.key, record.value, readable(record.headers))
        for offset, record in sent.items()
    }
    assert lakehouse.audit().findings == []
    before = lakehouse.snapshots()
    lakehouse.run("jobs/replay.py", "--topic", "user-events")
    assert lakehouse.snapshots() == before
    print(dict(found))
