"""Topics, offsets and messages of Kafka."""
