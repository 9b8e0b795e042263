"""Revocation lists: reading, lodging, the file, its evidence (SEC Appendix O 2.3.3 (c), (d))."""
