from lakehouse.kafka.offsets import Origin
from lakehouse.tables.bookmarks import bookmark_properties


def test_a_bookmark_names_its_topic_and_where_that_is():
    assert bookmark_properties("user-events", Origin("cluster", "topic"), {0: 5}) == {
        "lakehouse.bookmark.user-events": (
            '{"cluster_id": "cluster", "topic_id": "topic", "next_offsets": {"0": 5}}'
        )
    }
