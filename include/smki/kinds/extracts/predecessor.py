"""Finds the full extract that another one takes pages over from: the newest one published of an earlier window.

It has to be of the same obligation, of this format, checked by this schema and verifier, and whole in the store: its
segments and what was found of them, which nobody can find anew from some of a segment's pages. Where there is none the
extract is made from scratch, which gives the same.
"""

import logging

from sqlalchemy import Engine, select

from smki.annex_b.version import CURRENT
from smki.errors import MissingObjectError, StoreError
from smki.kinds.extracts.reading import has_rows
from smki.obligations.catalogue import FullExtract, Obligation
from smki.repository.database import reading
from smki.repository.tables import artefact, publication
from smki.store.manifest import Manifest, get_manifest
from smki.store.objects import Store
from smki.store.pages import PAGES_2
from smki.verify.marks import Marks

log = logging.getLogger(__name__)
_LOOKED_AT = 3  # published ones


def find_predecessor(
    engine: Engine, store: Store, obligation: Obligation, window_seq: int, basis: str
) -> tuple[str, Manifest] | None:
    """The SHA-256 (hex) of its manifest, and the manifest. Raises RepositoryUnavailableError, StoreError."""
    if not isinstance(obligation.kind, FullExtract):
        return None
    statuses = "".join(sorted(obligation.kind.statuses))
    columns = artefact.c
    published = (
        select(columns.manifest)
        .join_from(artefact, publication, publication.c.artefact_id == columns.id)
        .where(
            columns.obligation == obligation.name,
            columns.subject == obligation.subject,
            columns.window_seq < window_seq,
            columns.manifest != "",
        )
        .order_by(columns.window_seq.desc(), publication.c.id.desc())
        .limit(_LOOKED_AT)
    )
    with reading(engine) as connection:
        candidates = dict.fromkeys(connection.execute(published).scalars())
    for sha256 in candidates:
        try:
            manifest = get_manifest(store, sha256)
        except (MissingObjectError, StoreError) as error:
            log.warning("nothing is taken over manifest=%s error=%s", sha256, error)
            continue
        made = (manifest.page_format, manifest.format, manifest.basis, manifest.statuses)
        marks, with_rows = Marks(store, basis), has_rows(obligation.kind)
        if made == (PAGES_2, CURRENT, basis, statuses) and _is_whole(store, manifest, marks, with_rows=with_rows):
            return sha256, manifest
        log.info("nothing is taken over name=%s: it was made or checked otherwise, or is not whole", manifest.name)
    return None


def _is_whole(store: Store, manifest: Manifest, marks: Marks, *, with_rows: bool) -> bool:
    there = {found.key.removeprefix("segments/") for found in store.list_objects("segments/")}
    return there.issuperset(manifest.segments) and all(
        marks.has(sha256, with_rows=with_rows) for sha256 in manifest.segments
    )
