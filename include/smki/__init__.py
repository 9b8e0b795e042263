"""The SMKI Repository publisher's domain: everything that is true with or without Airflow.

Packages, from the top; an import points downwards only:
`cli` → `generator`, `consumer`, `publish` → `quality` → `extract` → `repository` → `certificates`, `obligations`.
"""
