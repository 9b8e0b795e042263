"""The SMKI Repository publisher's domain: everything that is true with or without Airflow.

Packages stand in layers, from the top; an import points downwards only, and a test holds it to this very list.
"""

LAYERS = (
    "cli",
    "recovery",
    "watch party",
    "kinds retention",
    "publish",
    "gate",
    "repository",
    "verify",
    "store",
    "annex_b",
    "obligations",
    "certificates",
)
