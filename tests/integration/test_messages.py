"""A message that Kafka's clients can't make, among others."""

import wire
from broker import EVENT
from wire import Record

from lakehouse.ingest.run import ingest


def test_a_header_whose_name_is_not_utf8_stops_nothing_and_is_kept(spark, settings, topics, query):
    headers = ((b"\xff\xfe", b"\xff"), (b"ok", None), (b"\xed\xa0\x80", b""))
    values = [EVENT.format(id=f"header-{number}").encode() for number in range(3)]
    time = 1_772_704_800_000  # that of the events
    records = [
        Record(b"u", values[0]),
        Record(b"u", values[1], headers),
        Record(b"u", b"\0\0\0\0\1" + values[2], headers),
    ]
    servers = settings.kafka_bootstrap_servers
    first = wire.produce(servers, "user-events", records, time, wire.ZSTD)
    ingest(spark, settings)

    is_here = f"partition = 0 AND offset BETWEEN {first} AND {first + 2}"
    names = [(r"\xff\xfe", b"\xff"), ("ok", None), (r"\xed\xa0\x80", b"")]
    rows = query(f"SELECT value, headers FROM raw.user_events WHERE {is_here} ORDER BY offset")
    assert [(row[0], row[1] and [tuple(each) for each in row[1]]) for row in rows] == [
        (values[0], None),
        (values[1], names),
        (b"\0\0\0\0\1" + values[2], names),
    ]
    ids = "SELECT event_id FROM staging.stg_user_events WHERE event_id LIKE 'header-%' ORDER BY 1"
    assert query(ids) == [["header-0"], ["header-1"]]
    ((error_class, value, kept),) = query(
        f"SELECT error_class, value, headers FROM ops.dead_letters WHERE {is_here}"
    )
    assert (error_class, value) == ("SCHEMA_REGISTRY", records[2].value)
    assert [tuple(each) for each in kept] == names
