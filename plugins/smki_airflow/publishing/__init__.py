"""How every publishing DAG ends: the gate, a person where one is needed, and the publication on every site.

Read `wiring` first, then `gate`, `release` and `publish` in the order in which they run.
"""
