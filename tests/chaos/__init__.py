"""The fault matrix: see `chaos.__main__`."""
