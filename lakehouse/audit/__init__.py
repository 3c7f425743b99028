"""Proof that each offset of Kafka is one staged row, dead letter or duplicate."""
