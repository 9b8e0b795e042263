"""Keeps what failed the gate, with its report, so that somebody can find out how it came to be.

`quarantine/<name>-<first letters of its hash>/` in the store has the report, and the judgement as JSON with the
manifest that the file is made of: its pages stay in the store as long. `smki store write` writes the file.
"""

import json
import logging
from collections.abc import Iterator
from datetime import datetime, timedelta

from smki.gate.model import Judgement
from smki.store.objects import Store

log = logging.getLogger(__name__)
_PREFIX, _JUDGEMENT, _REPORT = "quarantine/", "/judgement.json", "/report.html"


def keep_failed(store: Store, judgement: Judgement, manifest: str, report: str) -> str:
    """Keeps a judged file, by the SHA-256 (hex) of its manifest, with its report (HTML); what it is kept under.

    The same call again finds it kept. Raises StoreError.
    """
    key = f"{_PREFIX}{judgement.name}-{judgement.sha256[:12]}"
    stated = {"manifest": manifest, "judgement": judgement.as_json()}
    store.replace(key + _REPORT, report.encode())
    store.replace(key + _JUDGEMENT, json.dumps(stated, indent=1, ensure_ascii=False).encode())
    return key


def kept_files(store: Store) -> Iterator[dict[str, str]]:
    """Name, sha256 and manifest of each file that is kept. Raises StoreError."""
    for found in store.list_objects(_PREFIX):
        if found.key.endswith(_JUDGEMENT):
            stated = json.loads(store.get(found.key))
            judgement = stated["judgement"]
            yield {"name": judgement["name"], "sha256": judgement["sha256"], "manifest": stated["manifest"]}


def clear_quarantine(store: Store, kept_for: timedelta, at: datetime) -> list[str]:
    """Removes what has been kept longer than `kept_for` at the instant `at` (UTC); returns the names.

    Raises StoreError.
    """
    old = sorted(found.key for found in store.list_objects(_PREFIX) if at - found.changed_at > kept_for)
    store.remove(old)
    names = [key.removeprefix(_PREFIX).removesuffix(_JUDGEMENT) for key in old if key.endswith(_JUDGEMENT)]
    for name in names:
        log.info("quarantine cleared name=%s", name)
    return names
