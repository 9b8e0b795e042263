"""The wire format: Annex B documents, and the .gz files that they come in."""
