"""Publishes a site's index: what `smki index publish` and the task after each publication do.

In the site's lane of what is replaced in place, so that one index is made at a time. An extract that is published or
removed meanwhile has an index of its own, which is made after it.

1. Read the ledger, make the index of what the site offers, and record who signs it: the auditor asks for it from then.
2. Put the page tables of full extracts there that the site lacks.
3. Put the index, then its signature, then the page for people, in the place of those before.
   → between the two the signature is not of the index; whoever reads that reads both again
4. Remove the page tables of full extracts that are offered no more.

Each step is repeated safely: the next call comes right from wherever one ended.
"""

import hashlib
import json
import logging
import posixpath
import re
from collections.abc import Callable
from datetime import datetime, timedelta

from paramiko import SFTPClient
from sqlalchemy import Connection, Engine, select

from smki.errors import MissingObjectError, PlanError
from smki.kinds.index.document import ListFacts, index_bytes, index_of, page_table
from smki.kinds.index.ledger import record_signer
from smki.kinds.index.signing import Signer
from smki.kinds.index.status_page import render_status_page
from smki.obligations.catalogue import FullExtract, Index, UserGuide
from smki.publish.artefact import Publication
from smki.publish.ledger import Lane, list_publications, site_lock
from smki.publish.readback import list_folder, read_file, remote_sha256
from smki.publish.recipe import KnownFiles, publish_file
from smki.publish.site import SftpSession, Site, open_sftp, site_errors
from smki.repository.database import session
from smki.repository.tables import revocation_list
from smki.repository.windows import list_windows
from smki.store.content import SmallFile
from smki.store.manifest import get_manifest
from smki.store.objects import Store

log = logging.getLogger(__name__)
_CLOCKS_APART = timedelta(minutes=5)  # at most, of two machines that publish
_INSTANT = timedelta(microseconds=1)


def publish_index(
    engine: Engine, store: Store, site: Site, guide: UserGuide, signer: Signer, clock: Callable[[], datetime]
) -> list[str]:
    """Publishes the index of a site, whose folder is the index's; returns the names of what was put there.

    `clock` (UTC) is asked once nobody else publishes one: an index that is put there later is dated later, also where
    the one before it was dated by a clock that is some minutes ahead.
    Raises PlanError where the index is switched off, what `open_sftp` and `publish_file` raise, StoreError,
    RepositoryUnavailableError.
    """
    if (index := guide.index) is None:
        raise PlanError("index", "[index] in user_guide.toml switches it off.")
    with session(engine) as connection, site_lock(connection, site.name, Lane.IN_PLACE):
        with connection.begin():
            offered = list_publications(connection, site.name)
            lists = _list_facts(connection, guide, offered)
            record_signer(connection, site.name, signer.certificate)
        tables = _page_tables(store, guide, index, offered)
        with open_sftp(site) as sftp:
            now = _next_instant(sftp, site, index, clock())
            stated = index_of(guide, index, offered, list_windows(engine), lists, tables, now)
            content = index_bytes(stated)
            files = [
                *tables.values(),
                SmallFile(index.file, content),
                SmallFile(index.signature, signer.sign(content)),
                SmallFile(index.page, render_status_page(stated, index)),
            ]
            put = [file.name for file in files if _put(sftp, site, file)]
            _remove_tables(sftp, site, guide, index, {table.name for table in tables.values()})
    log.info("index published site=%s files=%d sha256=%s", site.name, len(offered), hashlib.sha256(content).hexdigest())
    return put


def _next_instant(sftp: SftpSession, site: Site, index: Index, now: datetime) -> datetime:
    """When the index is written (UTC): after the one that stands there, which another clock may have dated."""
    path = posixpath.join(site.folder, index.file)
    with site_errors(f"{index.file} on site {site.name}"):
        try:
            size = sftp.stat(path).st_size or 0
            before = datetime.fromisoformat(json.loads(read_file(sftp, path, size))["written_at"])
            return max(now, before + _INSTANT) if before <= now + _CLOCKS_APART else now
        except (FileNotFoundError, ValueError, TypeError, KeyError):  # there is none
            return now


def _page_tables(store: Store, guide: UserGuide, index: Index, offered: list[Publication]) -> dict[str, SmallFile]:
    """Of each full extract whose pages the store knows, by its name."""
    tables = {}
    for publication in offered:
        published = publication.artefact
        obligation = guide.find(published.obligation, published.subject)
        if obligation is None or not isinstance(obligation.kind, FullExtract) or not published.manifest:
            continue
        try:
            manifest = get_manifest(store, published.manifest)
        except MissingObjectError as error:  # the store was lost: Parties load that file as a whole
            log.warning("no page table name=%s error=%s", published.name, error)
            continue
        tables[published.name] = SmallFile(index.page_table(published.name), page_table(published.name, manifest))
    return tables


def _list_facts(connection: Connection, guide: UserGuide, offered: list[Publication]) -> dict[int, ListFacts]:
    """Of the published revocation lists, by their version: their place in the lodging order."""
    columns = revocation_list.c
    names = {obligation.name for obligation, _ in guide.lists()}
    versions = [one.artefact.version for one in offered if one.artefact.obligation in names]
    rows = connection.execute(
        select(columns.id, columns.number, columns.this_update, columns.next_update).where(columns.id.in_(versions))
    )
    return {row.id: ListFacts(int(row.number), row.this_update, row.next_update) for row in rows}


def _put(sftp: SftpSession, site: Site, file: SmallFile) -> bool:
    """Puts a file in the place of the one that is there; whether another one, or none, was."""
    path = posixpath.join(site.folder, file.name)
    with site_errors(f"{file.name} on site {site.name}"):
        try:
            standing = remote_sha256(sftp, path)
        except FileNotFoundError:
            standing = ""
    if standing == file.sha256():
        return False
    known = KnownFiles(replaceable=[standing])
    publish_file(sftp, file, path, file.sha256(), lambda _done, _of: None, known)
    return True


def _remove_tables(sftp: SFTPClient, site: Site, guide: UserGuide, index: Index, wanted: set[str]) -> None:
    """Removes page tables of ours that no full extract needs any more."""
    fulls = [one.file for one in guide.all if isinstance(one.kind, FullExtract)]
    ours = [re.escape(index.page_table(file)).replace(r"\{date\}", r"\d{4}-\d\d-\d\d") for file in fulls]
    with site_errors(f"{site.folder} on site {site.name}"):
        for entry in list_folder(sftp, site.folder):
            if re.fullmatch("|".join(ours), entry.name) and entry.name not in wanted:
                sftp.remove(posixpath.join(site.folder, entry.name))
                log.info("file removed path=%s", posixpath.join(site.folder, entry.name))
