"""The gate's report on one file."""
