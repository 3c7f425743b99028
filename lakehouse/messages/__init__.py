"""Steps that several jobs share: decode messages, find redeliveries, compare offsets."""
