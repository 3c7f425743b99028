"""Raw -> staging, dead letters and duplicates as the contract of today has them."""
