"""The staging area: files are written to it as a whole, and what failed runs left in it is removed.

A run that succeeds empties its own folder, `SMKI_STAGING/<DAG id>/<run id>`. One that fails keeps it, so that the step
that failed can be repeated with what is there. After a week without a change the folder is removed: by then the next
weekly full extract is out, and no run works or waits for a person that long. A run that is repeated later begins with
its first step and produces the same content again.

Only folders of the given DAGs are looked at; nothing else in the staging area is touched, and no link is followed.
"""

import logging
import os
import shutil
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from smki.errors import StagingError

log = logging.getLogger(__name__)

STAGED_FOR = timedelta(days=7)


def remove_stale_runs(staging: Path, dag_ids: Iterable[str], at: datetime) -> list[Path]:
    """Removes the folders of runs in which nothing has changed for a week at the instant `at`; returns them.

    What cannot be removed does not stop the others. Raises StagingError for the first such one at the end.
    """
    removed, problem = [], None
    for folder in _run_folders(staging, dag_ids):
        try:
            if at - _changed_at(folder) <= STAGED_FOR:
                continue
            shutil.rmtree(folder)
        except FileNotFoundError:
            continue  # its run is ending
        except OSError as error:
            log.warning("stale run kept folder=%s error=%s", folder, error)
            problem = problem or StagingError(
                str(folder),
                f"its run is over, and the folder cannot be removed ({error}).",
                "It goes on taking room.",
                "see who owns it, then try again.",
            )
        else:
            log.info("stale run removed folder=%s", folder)
            removed.append(folder)
    if problem:
        raise problem
    return removed


def write_whole(path: Path, content: bytes) -> None:
    """Writes a staged file so that it is either there as a whole or not at all. Raises StagingError."""
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        os.replace(part, path)  # noqa: PTH105  # the atomic one
    except OSError as error:
        raise staging_error(path, error) from error


def staging_error(path: Path, error: OSError) -> StagingError:
    """The StagingError for an operating system's error on a staged file."""
    return StagingError(str(path), f"the staging area cannot be used ({error.strerror or error}).")


def _run_folders(staging: Path, dag_ids: Iterable[str]) -> Iterator[Path]:
    for dag_id in sorted(dag_ids):
        dag = staging / dag_id
        if dag.is_dir() and not dag.is_symlink():
            yield from (run for run in sorted(dag.iterdir()) if run.is_dir() and not run.is_symlink())


def _changed_at(folder: Path) -> datetime:
    """When something in the folder changed last."""
    newest = max(path.lstat().st_mtime for path in (folder, *folder.rglob("*")))
    return datetime.fromtimestamp(newest, UTC)
