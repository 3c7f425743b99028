"""What the lakehouse costs, beside other engines and by shape of load: `make bench`."""
