"""Finds the published file from which a server can copy pages of a new one.

* It is offered on the site, of the same obligation and subject, its manifest is in the store, and it is the newest that
  has a page of the new file. Whether it stands there with the size that it should have is looked at before copying.
* A file of which pages are known to be wrong is none. Nor is one under the new file's own name: what is published again
  is sent.
* A delta needs none: its pages are its own.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from smki.errors import MissingObjectError, StoreError
from smki.publish.artefact import Artefact, Publication
from smki.publish.ranges import Range, find_equal_pages, find_ranges
from smki.publish.readings import find_reading
from smki.store.content import Content
from smki.store.manifest import Manifest, get_manifest
from smki.store.paged_file import StoredFile

log = logging.getLogger(__name__)
_LOOKED_AT = 3  # the newest published files


@dataclass(frozen=True, eq=False)
class CopySource:
    """A published file on the site, and what a new one has of it."""

    path: str  # on the server
    bytes: int  # that it has if it is whole
    whole_at: int | None  # its time (s, as the server states it) when all its pages were known to be right; None: never
    manifest: Manifest  # of the new file
    ranges: Sequence[Range]  # of the new file
    copied: NDArray[np.bool_]  # (n,) which pages of the new file the old one has

    @cached_property
    def sent(self) -> list[Range]:
        """What the old file has not."""
        return [one for one in self.ranges if one.source is None]


def find_copy_source(
    connection: Connection, offered: Sequence[Publication], artefact: Artefact, content: Content
) -> CopySource | None:
    """The file to copy from, of those that the site offers; none where everything has to be sent."""
    if not isinstance(content, StoredFile) or content.manifest.statuses is None:
        return None
    if content.manifest.content_digest != artefact.content_digest:
        return None  # it is not what was judged; what is read back will say so
    new = content.manifest
    for publication in _candidates(offered, artefact):
        reading = find_reading(connection, publication.site, publication.name)
        if reading is not None and reading.wrong:
            continue
        try:
            old = get_manifest(content.store, publication.artefact.manifest)
        except (MissingObjectError, StoreError) as error:
            log.warning("nothing is copied source=%s error=%s", publication.name, error)
            continue
        copied = find_equal_pages(new, old) >= 0
        if copied.any():
            whole_at = int(reading.modified_at.timestamp()) if reading is not None and reading.is_whole else None
            return CopySource(publication.path, old.size, whole_at, new, find_ranges(new, old), copied)
    return None


def _candidates(offered: Sequence[Publication], artefact: Artefact) -> list[Publication]:
    alike = [
        one
        for one in offered
        if (one.artefact.obligation, one.artefact.subject) == (artefact.obligation, artefact.subject)
        and one.artefact.manifest
        and one.name != artefact.name
    ]
    return sorted(alike, key=lambda one: one.artefact.window_seq or 0, reverse=True)[:_LOOKED_AT]
