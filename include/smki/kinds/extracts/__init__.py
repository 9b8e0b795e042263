"""Extracts of certificates: plan → render → assemble, and what the gate holds them against (2.3.3 (a), (b))."""
