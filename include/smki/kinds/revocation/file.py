"""The revocation lists as files: the newest lodged list of a kind and issuer (SEC Appendix O 2.3.3 (c), (d)).

* An obligation publishes the lists of one issuer: of the one that it states or, where it states none, of the only one
  that has lists of its kind. So no issuer's list takes the place of another's.
* The file is the list's DER as one gzip member; MTIME is its thisUpdate.
* Its version is the list's place in the lodging order, so no retry puts an older list in the place of a newer one.
* Its business date is the day of thisUpdate. Records are the list's entries; the set digest is that of the list itself,
  as a set of one: no certificates are in the file.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine

from smki.annex_b.gzip_reader import inflate_small
from smki.certificates.set_digest import SetDigest
from smki.errors import ObligationError, PlanError, PublicationRefusedError
from smki.kinds.revocation.lodging import ListFacts, LodgedList, newest_lists, read_list
from smki.kinds.revocation.reading import read_revocation_list
from smki.obligations.catalogue import Obligation, RevocationList, UserGuide
from smki.publish.artefact import Artefact
from smki.publish.ledger import find_publication
from smki.repository.database import reading
from smki.store.content import Content
from smki.store.gzip_writer import write_single


def newest_list(engine: Engine, obligation: Obligation) -> LodgedList | None:
    """The list that the obligation wants published; none while none is lodged.

    Raises PlanError where it wants no list, ObligationError where several issuers have one and it states none of them,
    RepositoryUnavailableError.
    """
    if not isinstance(obligation.kind, RevocationList):
        raise PlanError(obligation.name, "it is no revocation list.")
    with reading(engine) as connection:
        found = _candidates(obligation.kind, newest_lists(connection))
        if len(found) == 1:
            return read_list(connection, found[0])
    if found:
        issuers = "; ".join(lodged.issuer_display for lodged in found)
        raise ObligationError(
            f"[{obligation.name}] issuer",
            f"{len(found)} issuers have {obligation.kind.list_kind}s ({issuers}), and a file holds the list of one.",
            "Nothing of it is published; what is published stays.",
            'state issuer = "CN=…" in this section of user_guide.toml, and add a section for each other issuer.',
        )
    return None


def refuse_ended(content: Content, now: datetime) -> None:
    """Raises PublicationRefusedError for a list whose nextUpdate has passed at `now` (UTC).

    The gate judges that, too; but a person may release a list days after it was held. Raises StoreError.
    """
    fields = read_revocation_list(inflate_small(content.read(0, content.size), content.name))
    if fields.next_update <= now:
        raise PublicationRefusedError(
            content.name,
            f"the nextUpdate of {fields} passed at {fields.next_update:%Y-%m-%d %H:%M:%S} UTC, before it was released.",
            next_step="have its issuer issue the next list and lodge it; it is published at once.",
        )


def lists_without_obligation(engine: Engine, guide: UserGuide) -> list[ListFacts]:
    """Newest lists of a kind and issuer that no obligation publishes. Raises RepositoryUnavailableError."""
    with reading(engine) as connection:
        newest = newest_lists(connection)
    published = {lodged.id for _, lodged in _published(guide, newest)}
    return [lodged for lodged in newest if lodged.id not in published]


def _candidates(kind: RevocationList, newest: Iterable[ListFacts]) -> list[ListFacts]:
    """Those of the newest lists that an obligation may publish; it does where there is one."""
    return [lodged for lodged in newest if kind.may_publish(lodged.kind, lodged.issuer)]


def _published(guide: UserGuide, newest: Iterable[ListFacts]) -> Iterator[tuple[Obligation, ListFacts]]:
    """The obligations that publish one of the newest lists, each with that list."""
    for obligation, kind in guide.lists():
        found = _candidates(kind, newest)
        if len(found) == 1:
            yield obligation, found[0]


def write_revocation_file(
    obligation: Obligation, lodged: LodgedList, folder: Path, now: datetime, run: str
) -> Artefact:
    """Writes a list's file into `folder`; `run` is who does it. Whether it is right is for the gate to say.

    Raises StoreError.
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
    """What is to be published: each obligation's newest list on each site that offers another, or none.

    Raises RepositoryUnavailableError.
    """
    missing = []
    with reading(engine) as connection:
        for obligation, lodged in _published(guide, newest_lists(connection)):
            name = obligation.file_name(lodged.this_update.date())
            for site in sites:
                offered = find_publication(connection, site, name)
                if offered is None or (offered.artefact.version or 0) < lodged.id:
                    missing.append(f"{lodged}, lodged at {lodged.lodged_at:%Y-%m-%d %H:%M:%S.%f}, on {site}")
    return missing


def lists_without_successor(engine: Engine, guide: UserGuide, now: datetime) -> list[ListFacts]:
    """Obligations' newest lists whose nextUpdate is nearer than user_guide.toml's warning time, or past."""
    with reading(engine) as connection:
        newest = newest_lists(connection)
    leads = {lodged.id: kind.next_update_warning for _, kind in guide.lists() for lodged in _candidates(kind, newest)}
    return [lodged for lodged in newest if lodged.id in leads and lodged.next_update - now < leads[lodged.id]]


def ages_of_lists(engine: Engine, guide: UserGuide, now: datetime) -> list[tuple[Obligation, timedelta]]:
    """How long before `now` (UTC) each obligation's newest list was issued (thisUpdate); without those that have none.

    Raises RepositoryUnavailableError.
    """
    with reading(engine) as connection:
        newest = newest_lists(connection)
    return [(obligation, now - lodged.this_update) for obligation, lodged in _published(guide, newest)]
