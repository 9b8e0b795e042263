"""Finds what the store holds and no file needs any more.

* Needed is what the manifests name of every file that a site offers, that the gate holds or has cleared within a month
  and no site was given yet, or that is kept in quarantine, and of the newest full extracts, from which the next ones
  take pages over; and every small file of these.
* What was written within the grace is needed whatever names it, with all that a manifest names and what a plan takes
  pages over from: a run that is under way has published nothing yet. What a run finds there counts as written by it.
* So is what a writer that was killed has left in a folder, once the grace is over.
* What is removed is asked for once more right before: what was published, or put again, meanwhile stays.
* A manifest or a plan that cannot be read ends the search: nobody knows what it names.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Engine, select
from sqlalchemy.dialects.postgresql import distinct_on

from smki.gate.ledger import list_unpublished
from smki.gate.quarantine import kept_files
from smki.repository.database import reading
from smki.repository.tables import artefact, publication
from smki.store.manifest import get_manifest
from smki.store.objects import Store, StoredObject

GRACE = timedelta(days=7)
_WAITS_FOR = timedelta(days=30)  # as long as Airflow knows the run that waits (SMKI_KEEP_RUNS_DAYS)
_COLLECTED = ("segments/", "manifests/", "files/", "plans/", "pages/", "checked/")


@dataclass(frozen=True, slots=True)
class Garbage:
    """What may be removed."""

    objects: Sequence[StoredObject]
    kept: int  # other objects
    leftovers: Sequence[StoredObject] = ()  # of writers that were killed, which are no objects

    @property
    def count(self) -> int:
        return len(self.objects) + len(self.leftovers)

    @property
    def bytes(self) -> int:
        return sum(one.bytes for one in (*self.objects, *self.leftovers))

    def __str__(self) -> str:
        return f"{self.count:,} objects with {self.bytes:,} bytes; {self.kept:,} are kept"


def find_garbage(engine: Engine, store: Store, at: datetime, grace: timedelta = GRACE) -> Garbage:
    """What nothing needs at the instant `at` (UTC).

    Raises RepositoryUnavailableError, MissingObjectError, StoreError.
    """
    needed = _needed(engine, store, at, grace)
    objects, kept = [], 0
    for prefix in _COLLECTED:
        for found in store.list_objects(prefix):
            if at - found.changed_at > grace and _sha256_of(found) not in needed:
                objects.append(found)
            else:
                kept += 1
    leftovers = tuple(found for found in store.list_leftovers() if at - found.changed_at > grace)
    return Garbage(tuple(objects), kept, leftovers)


def collect_garbage(engine: Engine, store: Store, garbage: Garbage, at: datetime, grace: timedelta = GRACE) -> Garbage:
    """Removes it but for what is needed at `at` (UTC) all the same; returns what is gone.

    Raises RepositoryUnavailableError, MissingObjectError, StoreError.
    """
    needed = _needed(engine, store, at, grace)
    gone = []
    for one in garbage.objects:
        there = None if _sha256_of(one) in needed else store.find(one.key)
        if there is not None and there.changed_at <= one.changed_at:  # which a listing may state more finely
            store.remove([one.key])
            gone.append(one)
    for one in garbage.leftovers:
        store.remove_leftover(one)
    return Garbage(tuple(gone), garbage.kept + len(garbage.objects) - len(gone), garbage.leftovers)


def _sha256_of(found: StoredObject) -> str:
    """The name (SHA-256, hex) that an object has, or that it was found of."""
    return found.key.rpartition("/")[2].partition(".")[0]


def _needed(engine: Engine, store: Store, at: datetime, grace: timedelta) -> set[str]:
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
        rows = [(row.sha256, row.manifest) for query in (offered, newest) for row in connection.execute(query)]
        rows += list_unpublished(connection, at - _WAITS_FOR)
    rows += [(one["sha256"], one["manifest"]) for one in kept_files(store)]
    files = {sha256 for sha256, manifest in rows if not manifest}
    manifests = {manifest for _, manifest in rows if manifest} | _of_runs_under_way(store, at - grace)
    return files | manifests | _named_by(store, manifests)


def _of_runs_under_way(store: Store, since: datetime) -> set[str]:
    """SHA-256 (hex) of manifests that were written since then (UTC), and of those that plans take pages over from."""
    written = {_sha256_of(found) for found in store.list_objects("manifests/") if found.changed_at >= since}
    plans = [_sha256_of(found) for found in store.list_objects("plans/") if found.changed_at >= since]
    return written | {of for plan in plans if (of := json.loads(store.get_content("plans", plan)).get("predecessor"))}


def _named_by(store: Store, manifests: Iterable[str]) -> set[str]:
    """Their segments, and the marks of what stands around the records: what waits may be judged again."""
    found = (get_manifest(store, sha256) for sha256 in manifests)
    return {name for one in found for name in (*one.segments, f"frame-{one.frame_digest}")}
