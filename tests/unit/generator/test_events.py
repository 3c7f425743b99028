"""A plan -> messages: what every stream of traffic must be."""

import itertools
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

import msgspec
import pytest
from shop import PRODUCT_METADATA, USER_EVENTS

from generator import events
from generator.catalog import Catalog
from generator.events import Plan, Traffic, moment
from generator.faults import FAULTS
from generator.messages import Message
from generator.sessions import Shoppers
from lakehouse.contracts import Contract, Rejected

START = datetime(2026, 3, 2, tzinfo=UTC)
PLAN = Plan(events=20_000, products=400, users=500, days=3, start=START, bad_rate=0.02, seed=7)
END = START + timedelta(days=PLAN.days)
NOW = END + timedelta(hours=5)
decode = msgspec.json.Decoder(float_hook=Decimal).decode


def stream(plan: Plan) -> list[Message]:
    traffic = Traffic(plan)
    return [*traffic.catalog.initial(plan.start), *traffic.messages()]


def on(contract: Contract, messages: list[Message]) -> list[Message]:
    return [m for m in messages if m.topic == contract.topic]


def is_accepted(contract: Contract, message: Message) -> bool:
    try:
        contract.parse(message.value, message.key, NOW)
    except Rejected:
        return False
    return True


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    return Traffic(PLAN)


@pytest.fixture(scope="module")
def messages(traffic: Traffic) -> list[Message]:
    return [*traffic.catalog.initial(START), *traffic.messages()]


@pytest.fixture(scope="module")
def good(messages: list[Message]) -> list[dict]:
    """Payloads of good events, each delivery once, in order of delivery."""
    return [decode(m.value) for m in on(USER_EVENTS, messages) if is_accepted(USER_EVENTS, m)]


@pytest.fixture(scope="module")
def distinct(good: list[dict]) -> list[dict]:
    return list({event["event_id"]: event for event in good}.values())


def at(event: dict) -> datetime:
    return datetime.fromisoformat(event["event_timestamp"])


def test_the_same_plan_gives_the_same_bytes_in_the_same_order(messages):
    assert stream(PLAN) == messages


def test_another_seed_gives_other_messages_and_no_event_id_twice(good):
    other = {
        decode(m.value)["event_id"]
        for m in on(USER_EVENTS, stream(replace(PLAN, seed=8, bad_rate=0)))
    }
    assert len(other) > 19_000
    assert other.isdisjoint(event["event_id"] for event in good)


def test_another_number_of_events_with_the_same_seed_reuses_no_event_id(good):
    more = on(USER_EVENTS, stream(replace(PLAN, events=500, bad_rate=0)))
    assert {decode(m.value)["event_id"] for m in more}.isdisjoint(
        event["event_id"] for event in good
    )


@pytest.mark.parametrize("number", [0, 1, 2, 3, 17, 1000])
@pytest.mark.parametrize("bad_rate", [0, 0.5, 1])
def test_exactly_as_many_events_as_asked_for_are_sent(number, bad_rate):
    made = on(USER_EVENTS, stream(replace(PLAN, events=number, bad_rate=bad_rate)))
    assert len(made) == number


def test_a_duplicate_never_makes_one_event_too_many(monkeypatch):
    monkeypatch.setattr(events, "DUPLICATE_SHARE", 1)
    assert len(on(USER_EVENTS, stream(replace(PLAN, events=5, bad_rate=0)))) == 5


def test_the_contract_accepts_all_but_the_bad_ones(traffic, messages):
    refused = [m for m in on(USER_EVENTS, messages) if not is_accepted(USER_EVENTS, m)]
    assert len(refused) == traffic.tally.bad
    assert len(refused) == pytest.approx(PLAN.events * PLAN.bad_rate, rel=0.2)


def test_every_product_message_is_accepted(messages):
    assert all(is_accepted(PRODUCT_METADATA, m) for m in on(PRODUCT_METADATA, messages))


@pytest.mark.parametrize("bad_rate", [0, 1])
def test_a_bad_rate_of_none_or_all_is_kept_to(bad_rate):
    made = on(USER_EVENTS, stream(replace(PLAN, events=3000, bad_rate=bad_rate)))
    assert {is_accepted(USER_EVENTS, m) for m in made} == {bad_rate == 0}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("event_type", ["view", "purchase"])
def test_each_fault_breaks_the_contract_whatever_the_event(fault, event_type):
    event = {
        "event_id": "e",
        "user_id": None,
        "product_id": "P1",
        "event_type": event_type,
        "event_timestamp": START,
        "event_data": {"price": Decimal("1.50"), "quantity": 1},
    }
    for seed in range(20):
        with pytest.raises(Rejected):
            USER_EVENTS.parse(fault(event, Random(seed)), None, NOW)


def test_faults_are_of_many_classes(messages):
    classes = Counter()
    for message in on(USER_EVENTS, messages):
        try:
            USER_EVENTS.parse(message.value, message.key, NOW)
        except Rejected as rejected:
            classes[rejected.error_class] += 1
    assert len(classes) >= 12


def test_the_key_is_the_user_id_and_a_guest_has_none(messages):
    keys = Counter()
    for message in on(USER_EVENTS, messages):
        if is_accepted(USER_EVENTS, message):
            user_id = decode(message.value)["user_id"]
            assert message.key == (user_id.encode() if user_id else None)
            keys[user_id is None] += 1
    assert 0.1 < keys[True] / keys.total() < 0.2


def test_events_of_a_session_follow_each_other_in_time(distinct):
    sessions = defaultdict(list)
    for event in sorted(distinct, key=lambda event: event["event_id"]):
        if event["event_type"] != "return":
            sessions[event["event_data"]["session_id"]].append(event)
    assert max(map(len, sessions.values())) > 10
    for session in sessions.values():
        assert len({event["user_id"] for event in session}) == 1
        assert [at(e) for e in session] == sorted(at(e) for e in session)


def test_an_order_is_of_what_was_in_the_cart_and_a_return_is_of_an_order():
    made = on(USER_EVENTS, stream(replace(PLAN, bad_rate=0)))
    by_type = defaultdict(dict)
    for message in made:
        event = decode(message.value)
        data = event["event_data"]
        visit = data["order_id"] if event["event_type"] == "return" else data["session_id"]
        by_type[event["event_type"]][visit, event["product_id"]] = event
    carted = sum(grain in by_type["add_to_cart"] for grain in by_type["purchase"])
    assert 0.5 < carted / len(by_type["purchase"]) < 1  # the rest are reorders
    orders = {
        (event["event_data"]["order_id"], event["product_id"]): event
        for event in by_type["purchase"].values()
    }
    assert len(by_type["return"]) > 5
    for grain, event in by_type["return"].items():
        assert at(event) - at(orders[grain]) >= timedelta(hours=2)
        assert event["event_data"]["price"] == orders[grain]["event_data"]["price"]


def test_all_events_lie_within_the_days_of_the_plan(distinct):
    times = [at(event) for event in distinct]
    assert START <= min(times) < START + timedelta(hours=1)
    assert END - timedelta(hours=1) < max(times) < END


def test_evenings_are_busier_than_nights(distinct):
    hours = Counter(at(event).hour for event in distinct)
    assert hours[20] > 5 * hours[3] > 0


def test_a_few_products_get_many_of_the_views(distinct):
    views = Counter(e["product_id"] for e in distinct if e["event_type"] == "view")
    top_tenth = sum(count for _, count in views.most_common(PLAN.products // 10))
    assert 0.3 < top_tenth / views.total() < 0.7


def test_a_duplicate_is_the_same_bytes_again_later_in_the_stream(traffic, messages):
    places = defaultdict(list)
    for place, message in enumerate(on(USER_EVENTS, messages)):
        if is_accepted(USER_EVENTS, message):
            event_id = decode(message.value)["event_id"]
            places[event_id].append((place, message))
    again = [found for found in places.values() if len(found) > 1]
    assert len(again) == traffic.tally.duplicates
    assert len(again) == pytest.approx(PLAN.events * 0.01, rel=0.3)
    for (first, message), (second, copy) in again:
        assert second > first
        assert copy == message


def test_late_events_arrive_after_events_of_a_later_hour(traffic, good):
    newest, late = START, set()
    for event in good:
        newest = max(newest, at(event))
        if newest - at(event) > timedelta(hours=1):
            late.add(event["event_id"])
    assert len(late) == pytest.approx(traffic.tally.late, rel=0.1)
    assert traffic.tally.late > 300


def test_prices_have_two_decimals_in_the_message(messages, good):
    prices = {e["event_data"]["price"] for e in good if "price" in e["event_data"]}
    products = [m.value for m in on(PRODUCT_METADATA, messages) if m.value]
    prices |= {decode(value)["price"] for value in products}
    assert {price.as_tuple().exponent for price in prices} == {-2}


def test_a_session_sees_the_price_of_its_time(messages):
    """The price in an event is one that the product had before it."""
    known: dict[str, set] = defaultdict(set)
    changed = Counter()
    for message in messages:
        if not message.value or not is_accepted(
            USER_EVENTS if message.topic == USER_EVENTS.topic else PRODUCT_METADATA, message
        ):
            continue
        payload = decode(message.value)
        product_id = payload["product_id"]
        if message.topic == PRODUCT_METADATA.topic:
            known[product_id].add(payload["price"])
        elif "price" in payload["event_data"] and product_id < "P9":
            assert payload["event_data"]["price"] in known[product_id]
            changed[payload["event_data"]["price"] != min(known[product_id])] += 1
    assert changed[True]


def test_updated_at_only_goes_up_and_nothing_follows_a_deletion(traffic, messages):
    states = defaultdict(list)
    for message in on(PRODUCT_METADATA, messages):
        states[message.key].append(message.value)
    assert len(states) == PLAN.products
    deleted = 0
    for values in states.values():
        assert None not in values[:-1]
        deleted += values[-1] is None
        times = [updated_at(value) for value in values if value]
        assert all(a < b for a, b in itertools.pairwise(times))
    assert deleted == traffic.catalog.deletions > 0
    assert sum(map(len, states.values())) > PLAN.products + 20


def test_a_deleted_product_is_neither_changed_nor_visited_again():
    catalog = Catalog(50, seed=1)
    (deleted,) = {m.key for m in map(catalog.change, [START] * 2000) if m.value is None}
    later = [catalog.change(START) for _ in range(2000)]
    assert {m.key for m in later} == {p.product_id.encode() for p in catalog.products} - {deleted}
    shoppers = Shoppers(catalog, 10, Random(1))
    visited = {action.product_id for _ in range(2000) for action in shoppers.visit(START)}
    assert deleted.decode() not in visited
    assert len(visited) > 45


def updated_at(value: bytes) -> datetime:
    return datetime.fromisoformat(decode(value)["updated_at"])


def test_another_seed_is_the_same_shop_with_other_times(messages):
    def shop(seed):
        values = [decode(m.value) for m in Traffic(replace(PLAN, seed=seed)).catalog.initial(START)]
        return [(v["product_id"], v["name"], v["category"], v["price"]) for v in values], {
            (v["product_id"], v["updated_at"]) for v in values
        }

    (products, times), (same_products, other_times) = shop(1), shop(2)
    assert products == same_products
    assert times.isdisjoint(other_times)


def test_some_products_lack_a_category_or_brand_and_some_events_a_product(messages, distinct):
    products = [decode(m.value) for m in on(PRODUCT_METADATA, messages)[: PLAN.products]]
    assert 0 < sum(p["category"] is None for p in products) < 40
    assert 0 < sum(p["brand"] is None for p in products) < 80
    announced = {p["product_id"] for p in products}
    unannounced = {e["product_id"] for e in distinct} - announced
    assert unannounced
    assert all(product_id.startswith("P9") for product_id in unannounced)


def test_time_follows_the_share_of_traffic_day_by_day():
    assert moment(0, PLAN) == START
    assert moment(1 / 3, PLAN) - (START + timedelta(days=1)) < timedelta(minutes=1)
    times = [moment(share / 1000, PLAN) for share in range(1000)]
    assert times == sorted(times)
    assert times[-1] < END
