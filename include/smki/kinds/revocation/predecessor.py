"""Whether a list may take the place of a file that the ledger does not know.

After PostgreSQL was restored from a backup, a list that was published since stands on the site and the ledger knows
nothing of it. Parties need the next list all the same: it replaces a list

* of the same kind and issuer,
* whose signature verifies under a lodged authority, so that it is no foreign file that would be evidence,
* that lodging would let it follow: with an earlier thisUpdate, or the same one and a lower CRL number; or the same list
  that was compressed otherwise. A number that goes back is for the gate to hold: its issuer may have been restored.
"""

import logging

from sqlalchemy import Engine

from smki.annex_b.gzip_reader import inflate_small
from smki.certificates.names import comparable_name
from smki.errors import DataError, PublicationRefusedError
from smki.kinds.revocation.lodging import kind_of
from smki.kinds.revocation.reading import read_revocation_list
from smki.repository.database import reading
from smki.store.content import Content

log = logging.getLogger(__name__)


def follows(engine: Engine, ours: Content, found: bytes) -> bool:
    """Whether the list in `ours` follows, or is, the one in `found`, the content of a file of the same name.

    Raises PublicationRefusedError where `found` is the newer one, StoreError, RepositoryUnavailableError.
    """
    new_body = inflate_small(ours.read(0, ours.size), ours.name)
    new = read_revocation_list(new_body)
    try:
        body = inflate_small(found, ours.name)
        old = read_revocation_list(body)
        with reading(engine) as connection:
            same_kind = kind_of(connection, old, body) is kind_of(connection, new, new_body)
    except DataError as error:
        log.warning("file is no list of ours name=%s error=%s", ours.name, error)
        return False
    if not same_kind or comparable_name(old.issuer) != comparable_name(new.issuer):
        return False
    if body == new_body:
        return True
    old_place, new_place = ((one.this_update, one.number) for one in (old, new))
    if old_place > new_place:
        raise PublicationRefusedError(
            ours.name,
            f"the server has {old} of {old.this_update:%Y-%m-%d %H:%M:%S} UTC, and the newest one that is lodged is "
            f"{new.number} of {new.this_update:%Y-%m-%d %H:%M:%S}.",
            next_step="fetch the server's file and lodge it (`smki lodge FILE`); it is then the published one.",
        )
    return old_place < new_place
