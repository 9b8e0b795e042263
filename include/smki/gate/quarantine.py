"""Keeps what failed the gate, with its report, so that somebody can find out how it came to be.

`SMKI_STAGING/quarantine/<name>-<first bytes of its hash>/` holds the file, its manifest if it has one, the report and
the judgement as JSON. The run's own staged file stays where it is; both are one file on disk where the file system can.
"""

import json
import logging
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

from smki.gate.model import Judgement
from smki.store.manifest import manifest_path
from smki.store.staging import staging_error, write_whole

log = logging.getLogger(__name__)
QUARANTINE = "quarantine"


def keep_failed(staging: Path, file: Path, judgement: Judgement, report: str) -> Path:
    """Keeps a judged file with its report (HTML); returns the folder. The same call again finds it kept.

    Raises StagingError.
    """
    folder = staging / QUARANTINE / f"{judgement.name}-{judgement.sha256[:12]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for kept in filter(Path.exists, (file, manifest_path(file))):
            _link(kept, folder / kept.name)
    except OSError as error:
        raise staging_error(folder, error) from error
    write_whole(folder / "judgement.json", json.dumps(judgement.as_json(), indent=1, ensure_ascii=False).encode())
    write_whole(folder / "report.html", report.encode())
    return folder


def clear_quarantine(staging: Path, kept_for: timedelta, at: datetime) -> list[Path]:
    """Removes what has been kept longer than `kept_for` at the instant `at` (UTC); returns the folders.

    Raises StagingError.
    """
    removed = []
    for folder in sorted((staging / QUARANTINE).glob("*/judgement.json")):
        try:
            if at - datetime.fromtimestamp(folder.stat().st_mtime, UTC) > kept_for:
                shutil.rmtree(folder.parent)
                removed.append(folder.parent)
                log.info("quarantine cleared folder=%s", folder.parent)
        except OSError as error:
            raise staging_error(folder.parent, error) from error
    return removed


def _link(file: Path, kept: Path) -> None:
    """A second name for the same bytes; what is staged again later is a new file and leaves this one alone."""
    kept.unlink(missing_ok=True)
    try:
        os.link(file, kept)
    except OSError:  # another file system, or one without links
        shutil.copy2(file, kept)
