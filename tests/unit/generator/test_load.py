"""A user's own file -> messages: keys, refusals, bytes."""

import gzip

import pytest
from shop import PRODUCT_METADATA, USER_EVENTS

from generator.load import check, messages
from generator.messages import CommandError, Message


def written(tmp_path, content: bytes):
    path = tmp_path / "mine.jsonl"
    path.write_bytes(content)
    return path


def test_lines_keep_their_bytes_and_take_their_key_from_the_payload(tmp_path):
    path = written(tmp_path, b'{"user_id": "U1",  "x":1.10}\r\n\n  \n{"user_id":"\xc3\xa9"}')
    assert check(path, keep_bad=False) == 2
    assert list(messages(path, USER_EVENTS)) == [
        Message("user-events", b"U1", b'{"user_id": "U1",  "x":1.10}'),
        Message("user-events", b"\xc3\xa9", b'{"user_id":"\xc3\xa9"}'),
    ]


def test_only_the_line_end_is_taken_off(tmp_path):
    path = written(tmp_path, b' {"user_id":"U1"} \t\r\n')
    assert [m.value for m in messages(path, USER_EVENTS)] == [b' {"user_id":"U1"} \t']


@pytest.mark.parametrize(
    "line", [b'{"user_id":null}', b"{}", b'{"user_id":5}', b'["user_id"]', b'"user_id"', b"1"]
)
def test_a_line_without_a_textual_key_field_has_a_null_key(tmp_path, line):
    path = written(tmp_path, line)
    assert check(path, keep_bad=False) == 1
    assert list(messages(path, USER_EVENTS)) == [Message("user-events", None, line)]


def test_products_are_keyed_by_product_id(tmp_path):
    path = written(tmp_path, b'{"product_id":"P1","user_id":"U1"}\n')
    assert [(m.topic, m.key) for m in messages(path, PRODUCT_METADATA)] == [
        ("product-metadata", b"P1")
    ]


@pytest.mark.parametrize(
    "bad", [b'{"a":', b"hello", b'{"a":1}{"b":2}', b'{"a":"\xff"}', b"[" * 9999]
)
def test_a_line_that_is_not_json_is_refused_with_its_number(tmp_path, bad):
    path = written(tmp_path, b'{"user_id":"U1"}\n\n' + bad + b"\n")
    with pytest.raises(CommandError) as refused:
        check(path, keep_bad=False)
    assert f"{path}:3 is not JSON" in str(refused.value)
    assert "--keep-bad" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_keep_bad_sends_such_a_line_as_it_is_with_a_null_key(tmp_path):
    path = written(tmp_path, b'{"user_id":"U1"}\n{"user_id":\n')
    assert check(path, keep_bad=True) == 2
    assert list(messages(path, USER_EVENTS))[1] == Message("user-events", None, b'{"user_id":')


def test_a_gzipped_file_is_read_like_a_plain_one(tmp_path):
    path = tmp_path / "mine.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"user_id":"U1"}\n{"user_id":"U2"}\n'))
    assert check(path, keep_bad=False) == 2
    assert [m.key for m in messages(path, USER_EVENTS)] == [b"U1", b"U2"]


@pytest.mark.parametrize("content", [b"plain", gzip.compress(b"{}\n" * 1000)[:-20]])
def test_a_broken_gzip_file_is_named_in_one_line(tmp_path, content):
    path = tmp_path / "mine.jsonl.gz"
    path.write_bytes(content)
    with pytest.raises(CommandError, match=r"mine\.jsonl\.gz is not a whole gzip file"):
        check(path, keep_bad=True)


def test_a_missing_file_and_a_folder_are_named_in_one_line(tmp_path):
    with pytest.raises(CommandError, match=r"absent\.jsonl does not exist"):
        check(tmp_path / "absent.jsonl", keep_bad=False)
    with pytest.raises(CommandError, match="cannot be read: Is a directory"):
        check(tmp_path, keep_bad=False)
