"""The way back after a ledger was lost and restored from a backup that is older than what Parties have."""
