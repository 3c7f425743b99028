"""One file per topic. A file more is a topic more, a file less a topic less."""
