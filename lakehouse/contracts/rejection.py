"""Why a message is refused: the classes of error, and the rule that each stands for."""

from lakehouse.contracts.value_types import PRICE_INTEGER_DIGITS, PRICE_SCALE

MAX_VALUE_BYTES = 2**20
MAX_DEPTH = 32

UNEXPECTED, HEADERS_UNREADABLE = "UNEXPECTED", "HEADERS_UNREADABLE"
UNKNOWN_VALUE = "UNKNOWN_VALUE"
RULES = {
    HEADERS_UNREADABLE: "must be readable by Kafka's client",
    "EMPTY_VALUE": "must not be empty",
    "TOO_LARGE": f"at most {MAX_VALUE_BYTES:,} bytes",
    "SCHEMA_REGISTRY": "must be plain JSON, not the output of a schema registry's serializer",
    "INVALID_UTF8": "must be UTF-8",
    "TOO_DEEP": f"at most {MAX_DEPTH} objects and arrays inside each other",
    "MALFORMED_JSON": "must be one JSON document",
    "NUMBER_NOT_FINITE": "NaN and Infinity are no JSON numbers",
    "DUPLICATE_KEY": "an object must not hold a key twice",
    "TRAILING_DATA": "nothing may follow the JSON document",
    "INVALID_UNICODE": "half of a surrogate pair is no character",
    "NOT_AN_OBJECT": "must be a JSON object",
    "MISSING_FIELD": "required, and neither null nor empty",
    "WRONG_TYPE": "has another type than the contract says",
    "OUT_OF_RANGE": "outside the range that the contract allows",
    "DECIMAL_SCALE": f"at most {PRICE_INTEGER_DIGITS} digits before, {PRICE_SCALE} after the dot",
    "TIMESTAMP_UNPARSEABLE": "must be RFC 3339 with an offset or Z, at most microseconds",
    "UNKNOWN_EVENT_TYPE": "must be one of the values that the contract lists",
    UNKNOWN_VALUE: "must be one of the values that the contract lists",
    "MISSING_PURCHASE_DATA": "required where another field has the value that it has",
    "TIMESTAMP_OUT_OF_RANGE": "must lie between 1970-01-01 and a day after the Kafka timestamp",
    "KEY_MISMATCH": "must equal the Kafka key",
    "DUPLICATE_CONFLICT": "another event has this id, and other content",
    UNEXPECTED: "an error that no rule foresees; please report it",
}


class Rejected(Exception):  # noqa: N818 (an outcome, not a failure)
    """A message that breaks its contract. The detail names field and rule, never the payload."""

    def __init__(self, error_class: str, field: str, rule: str = ""):
        self.error_class = error_class
        self.error_detail = f"{field}: {rule or RULES[error_class]}"
