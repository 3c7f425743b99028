"""What has become of a dead letter."""

REPLAYED = "replayed"
DUPLICATE = "duplicate"
DISCARDED = "discarded"
IS_OPEN = "outcome IS NULL"
