"""Measurements of the publisher against peers, in the same run on the same machine: `make bench`."""
