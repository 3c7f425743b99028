"""Messages that broke their contract: browse them, replay them, discard them."""
