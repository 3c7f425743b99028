import json
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shop import USER_EVENTS

from lakehouse.contracts.content import is_same_object

# A number is a Fraction here, which JSON's other values are not.
numbers = st.builds(
    lambda digits, power: Fraction(digits) * Fraction(10) ** power,
    st.integers(-(10**25), 10**25),
    st.integers(-30, 30),
)
keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(keys, values, max_size=4)


def spelled(value, random: Random) -> str:
    """One of the texts that mean this value."""
    blank = random.choice(["", " ", "\n\t"])
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, Fraction):
        return spelled_number(value, random)
    if isinstance(value, str):
        return '"' + "".join(spelled_character(each, random) for each in value) + '"'
    if isinstance(value, list):
        return f"[{blank}{f'{blank},'.join(spelled(each, random) for each in value)}]"
    pairs = random.sample(list(value.items()), len(value))
    inner = (f"{spelled(name, random)}{blank}:{spelled(each, random)}" for name, each in pairs)
    return f"{blank}{{{f',{blank}'.join(inner)}{blank}}}"


def spelled_number(value: Fraction, random: Random) -> str:
    """Its digits with a point and an exponent somewhere."""
    places = next(n for n in range(100) if (value * 10**n).denominator == 1)
    places += random.randrange(3)
    digits = str(abs(int(value * 10**places)))
    cut = random.randrange(1, len(digits) + 1)
    whole, fraction = digits[:cut], digits[cut:]
    if len(whole.lstrip("0")) < len(whole):
        # JSON has no zeros before other digits.
        whole, fraction = "0", digits
    power = (len(fraction)) - places
    text = ("-" if value < 0 else "") + whole
    if fraction:
        text += f".{fraction}"
    if power or random.random() < 0.3:
        text += f"{random.choice('eE')}{random.choice(['+', '']) if power >= 0 else ''}{power}"
    return text


def spelled_character(character: str, random: Random) -> str:
    escaped = json.dumps(character)[1:-1]
    if character in '"\\' or ord(character) < 32 or random.random() < 0.5:
        return escaped
    return character


@settings(max_examples=100, deadline=None)
@given(objects, st.randoms(use_true_random=False))
def test_two_texts_of_one_value_are_the_same(value, random):
    one, other = spelled(value, random), spelled(value, random)
    assert is_same_object(one, other, ())


@settings(max_examples=100, deadline=None)
@given(objects, objects, st.randoms(use_true_random=False))
def test_texts_of_two_values_are_not(value, another, random):
    is_equal = typed(value) == typed(another)
    assert is_same_object(spelled(value, random), spelled(another, random), ()) is is_equal


@settings(max_examples=100, deadline=None)
@given(objects, keys, values, st.randoms(use_true_random=False))
def test_one_changed_value_makes_another_content(value, name, new, random):
    changed = value | {name: new}
    is_equal = typed(value) == typed(changed)
    assert is_same_object(spelled(value, random), spelled(changed, random), ()) is is_equal
    assert is_same_object(spelled(value, random), spelled(changed, random), {name})


def typed(value):
    """Equal for equal values of one type: to Python, True is 1."""
    if isinstance(value, dict):
        return {name: typed(each) for name, each in value.items()}
    return [typed(each) for each in value] if isinstance(value, list) else (type(value), value)


SAME = [
    ('{"price":10}', '{"price":10.00}'),
    ('{"price":10}', '{"price":1e1}'),
    ('{"price":-0}', '{"price":0.0e7}'),
    ('{"a":1,"b":2}', '{ "b":2, "a":1 }'),
    (r'{"name":"caf\u00e9 \ud83d\ude00"}', '{"name":"café 😀"}'),
    # Both would be 0 as floats, and the same integer.
    ('{"n":1e-400}', '{"n":0.1e-399}'),
    (f'{{"n":1e{"9" * 5000}}}', f'{{"n":10e{"9" * 4999}8}}'),
    (f'{{"n":{"7" * 5000}}}', f'{{"n":{"7" * 5000}.0}}'),
    (None, '{"sent_at":"2026-03-05T10:00:00Z"}'),
    ('{"sent_at":1}', '{"sent_at":2}'),
]
OTHER = [
    ('{"price":10}', '{"price":"10"}'),
    ('{"n":0.1}', '{"n":0.1000000000000000055511151231257827}'),
    ('{"n":9007199254740993}', '{"n":9007199254740992}'),
    ('{"n":1e-400}', '{"n":0}'),
    ('{"n":1}', '{"n":true}'),
    ('{"n":0}', '{"n":[]}'),
    ('{"n":null}', "{}"),
    ('{"list":[1,2]}', '{"list":[2,1]}'),
    ('{"name":"é"}', '{"name":"e\u0301"}'),
    # Only at the top.
    ('{"device":{"sent_at":1}}', '{"device":{"sent_at":2}}'),
    (None, '{"sent_at":1,"sender":2}'),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_is_said(one, other):
    assert is_same_object(one, other, USER_EVENTS.may_differ)
    assert is_same_object(other, one, USER_EVENTS.may_differ)


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_something_else_is_said(one, other):
    assert not is_same_object(one, other, USER_EVENTS.may_differ)
    assert not is_same_object(other, one, USER_EVENTS.may_differ)


def test_a_float_of_a_million_digits_is_compared_in_a_moment():
    long = "1" * 500_000
    assert is_same_object(f'{{"n":{long}e{long}}}', f'{{"n":{long}.0e{long}}}', ())
