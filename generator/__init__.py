"""Faker -> Kafka topics user-events, product-metadata: a shop's traffic to try the lakehouse on."""
