"""Finds what the store holds and no file needs any more.

* Needed is what the manifests name of every file that a site offers, that waits in a run or is kept in quarantine, and
  of the newest full extracts, from which the next ones take pages over; and every small file that is offered.
* What was written within the grace is needed whatever names it: a run that is under way has no manifest yet, and one
  that waits for a person may wait that long.
* A manifest that cannot be read ends the search: nobody knows what it names.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Engine, select
from sqlalchemy.dialects.postgresql import distinct_on

from smki.gate.quarantine import kept_files
from smki.repository.database import reading
from smki.repository.tables import artefact, publication
from smki.store.manifest import get_manifest
from smki.store.objects import Store, StoredObject

GRACE = timedelta(days=7)
_COLLECTED = ("segments/", "manifests/", "files/", "plans/", "pages/", "checked/")


@dataclass(frozen=True, slots=True)
class Garbage:
    """What may be removed."""

    objects: Sequence[StoredObject]
    kept: int  # other objects

    @property
    def bytes(self) -> int:
        return sum(one.bytes for one in self.objects)

    def __str__(self) -> str:
        return f"{len(self.objects):,} objects with {self.bytes:,} bytes; {self.kept:,} are kept"


def find_garbage(engine: Engine, store: Store, at: datetime, grace: timedelta = GRACE) -> Garbage:
    """What nothing needs at the instant `at` (UTC).

    Raises RepositoryUnavailableError, MissingObjectError, StoreError.
    """
    needed = _needed(engine, store)
    objects, kept = [], 0
    for prefix in _COLLECTED:
        for found in store.list_objects(prefix):
            if at - found.changed_at > grace and found.key.rpartition("/")[2].partition(".")[0] not in needed:
                objects.append(found)
            else:
                kept += 1
    return Garbage(tuple(objects), kept)


def collect_garbage(store: Store, garbage: Garbage) -> None:
    """Removes it. Raises StoreError."""
    store.remove(one.key for one in garbage.objects)


def _needed(engine: Engine, store: Store) -> set[str]:
    """SHA-256 values (hex) of manifests, of what they name, and of small files."""
    columns = artefact.c
    offered = (
        select(columns.sha256, columns.manifest)
        .join_from(artefact, publication, publication.c.artefact_id == columns.id)
        .where(publication.c.ended_at.is_(None))
    )
    newest = (
        select(columns.sha256, columns.manifest)
        .join_from(artefact, publication, publication.c.artefact_id == columns.id)
        .where(columns.manifest != "")
        .ext(distinct_on(columns.obligation, columns.subject))
        .order_by(columns.obligation, columns.subject, columns.window_seq.desc(), publication.c.id.desc())
    )
    with reading(engine) as connection:
        rows = [*connection.execute(offered), *connection.execute(newest)]
    files = {row.sha256 for row in rows if not row.manifest} | {one["sha256"] for one in kept_files(store)}
    manifests = {row.manifest for row in rows if row.manifest} | {
        one["manifest"] for one in kept_files(store) if one["manifest"]
    }
    return files | manifests | _named_by(store, manifests)


def _named_by(store: Store, manifests: Iterable[str]) -> set[str]:
    return {segment for sha256 in manifests for segment in get_manifest(store, sha256).segments}
