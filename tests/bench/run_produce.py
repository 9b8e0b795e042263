"""Measured process: planning and producing a full extract, up to the assembled file with its manifest; not verified."""

from datetime import date
from pathlib import Path
from typing import Any

from answering import answer

from smki.kinds.extracts import production
from smki.kinds.extracts.plan import plan_extract
from smki.obligations.user_guide import load_user_guide
from smki.repository.database import open_engine
from smki.settings import Settings


def produce(url: str, day: str, folder: str, workers: int) -> dict[str, Any]:
    """`produce` in that many worker processes (1: in this one)."""
    obligation = load_user_guide(Settings.from_environment().config).full
    plan = plan_extract(open_engine(url), obligation, date.fromisoformat(day))
    manifest = production.produce(url, plan, Path(folder) / plan.name, workers=workers)
    return {
        "name": manifest.name,
        "records": manifest.records,
        "bytes": manifest.bytes,
        "xml_bytes": manifest.xml_bytes,
        "content_digest": manifest.content_digest,
    }


if __name__ == "__main__":
    answer(produce)
