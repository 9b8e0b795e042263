"""The two revocation lists as files: the newest lodged list of a kind (SEC Appendix O 2.3.3 (c), (d)).

* The file is the list's DER as one gzip member; MTIME is its thisUpdate.
* Its version is the list's place in the lodging order, so no retry puts an older list in the place of a newer one.
* Its business date is the day of thisUpdate. Records are the list's entries; the set digest is that of the list itself,
  as a set of one: no certificates are in the file.
"""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from sqlalchemy import Engine

from smki.certificates.model import ListKind
from smki.certificates.set_digest import SetDigest
from smki.errors import PlanError
from smki.kinds.revocation.lodging import LodgedList, latest_list, newest_lists
from smki.obligations.catalogue import Obligation, RevocationList, UserGuide
from smki.publish.artefact import Artefact
from smki.publish.ledger import find_publication
from smki.repository.database import reading
from smki.store.gzip_writer import write_single


def newest_list(engine: Engine, obligation: Obligation) -> LodgedList | None:
    """The list that the obligation wants published; none while none is lodged.

    Raises PlanError where it wants no list, RepositoryUnavailableError.
    """
    if not isinstance(obligation.kind, RevocationList):
        raise PlanError(obligation.name, "it is no revocation list.")
    with reading(engine) as connection:
        return latest_list(connection, obligation.kind.list_kind)


def write_revocation_file(
    obligation: Obligation, lodged: LodgedList, folder: Path, now: datetime, run: str
) -> Artefact:
    """Writes a list's file into `folder`; `run` is who does it. Whether it is right is for the gate to say.

    Raises StagingError.
    """
    day = lodged.this_update.date()
    file = folder / obligation.file_name(day)
    written = write_single(file, lodged.body, lodged.this_update)
    return Artefact(
        obligation=obligation.name,
        subject=obligation.subject,
        name=file.name,
        business_date=day,
        window_seq=None,
        bytes=written.bytes,
        sha256=written.sha256,
        content_digest=written.content_digest,
        xml_bytes=written.content_bytes,
        records=lodged.entries,
        set_digest=SetDigest.of([lodged.body]),
        run=run,
        verified_at=now,
        version=lodged.id,
    )


def unpublished_lists(engine: Engine, guide: UserGuide, sites: Iterable[str]) -> list[str]:
    """What is to be published: the newest list of each kind on each site that offers another, or none.

    Raises RepositoryUnavailableError.
    """
    missing = []
    with reading(engine) as connection:
        for kind in ListKind:
            if (lodged := latest_list(connection, kind)) is None:
                continue
            name = guide.revocation_list(kind).file_name(lodged.this_update.date())
            for site in sites:
                offered = find_publication(connection, site, name)
                if offered is None or (offered.artefact.version or 0) < lodged.id:
                    missing.append(f"{lodged} on {site}")
    return missing


def lists_without_successor(engine: Engine, guide: UserGuide, now: datetime) -> list[LodgedList]:
    """Newest lists of a kind and issuer whose nextUpdate is nearer than user_guide.toml's warning time, or past."""
    leads = {
        one.kind.list_kind: one.kind.next_update_warning for one in guide.all if isinstance(one.kind, RevocationList)
    }
    with reading(engine) as connection:
        newest = newest_lists(connection)
    return [lodged for lodged in newest if lodged.ends_within(leads[lodged.kind], now)]
