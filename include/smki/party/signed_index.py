"""A site's signed index, as a Party reads it: what is offered, by size, SHA-256 and state (docs/party.md).

* Nothing of an index is believed before its signature is right: detached CMS (RFC 5652) by one of the certificates that
  the Party has pinned. Those certificates come from the operator, never from the signature.
* An index that is older than one that the copy has seen is refused where it does not lead to the copy's state: a
  server may have been restored, or somebody may show an old one. One that leads there, or beyond, is another site's of
  the same operator, or was written by another clock.
* An index of any age is read: nobody but its operator knows whether there is a newer one. It says itself when the next
  extract comes; one that should have come is told (`SignedIndex.overdue`).
"""

import hashlib
import json
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509

from smki.certificates.detached_signatures import is_signed
from smki.certificates.set_digest import SetDigest
from smki.errors import ConfigurationError
from smki.party.planning import AwaitedFile, OfferedFile, TableFile
from smki.party.refusals import Refusal, SyncRefusedError

INDEX = "SMKIKR_INDEX.json"
SIGNATURE = f"{INDEX}.p7s"
VERSION = 1
_DAY = timedelta(days=1)
_GRACE = timedelta(hours=1)  # after publish-by: a file may be late, and its index follows it


@dataclass(frozen=True, slots=True)
class SignedIndex:
    """What a site offers, by its operator's word."""

    written_at: datetime  # UTC
    extracts: tuple[OfferedFile, ...]
    awaited: tuple[AwaitedFile, ...] = ()  # the next extract of each kind

    def overdue(self, now: datetime) -> tuple[AwaitedFile, ...]:
        """What it announces or is bound to follow, and should be in a newer index by `now` (UTC).

        The delta that it announces may be offered already: then it is the one of the first day without one that counts,
        by the same time of its day.
        """
        offered = {file.name for file in self.extracts}
        found = []
        for announced in self.awaited:
            awaited, file = announced, OfferedFile.of(announced.name, 0)
            while file is not None and file.name in offered and not file.is_full:
                awaited, file = _of_next_day(awaited, file)
            if awaited.name not in offered and awaited.publish_by + _GRACE < now:
                found.append(awaited)
        return tuple(found)


def _of_next_day(awaited: AwaitedFile, file: OfferedFile) -> tuple[AwaitedFile, OfferedFile | None]:
    name = file.name.replace(str(file.day), str(file.day + _DAY))
    return AwaitedFile(name, awaited.publish_by + _DAY), OfferedFile.of(name, 0)


def load_signers(files: Sequence[Path]) -> list[x509.Certificate]:
    """The certificates of PEM files, several in one, too. Raises ConfigurationError."""
    signers = []
    for file in files:
        try:
            signers += x509.load_pem_x509_certificates(file.read_bytes())
        except OSError as error:
            raise ConfigurationError(f"--signer {file}", f"it cannot be read ({error.strerror}).") from error
        except ValueError as error:
            raise ConfigurationError(f"--signer {file}", "it has to hold certificates as PEM.") from error
    return signers


def read_index(content: bytes, signature: bytes, signers: Sequence[x509.Certificate]) -> SignedIndex:
    """The index that one of the pinned certificates signed. Raises SyncRefusedError."""
    if not is_signed(content, signature, signers):
        sha256 = hashlib.sha256(content).hexdigest()
        rule = f"none of the {len(signers)} pinned certificates has signed it (SHA-256 {sha256})."
        raise SyncRefusedError(Refusal.SIGNATURE, INDEX, rule)
    try:
        stated = json.loads(content)
        if stated["version"] != VERSION:
            rule = f"it has version {stated['version']!r}, and this program reads {VERSION}."
            raise SyncRefusedError(Refusal.INDEX, INDEX, rule)
        folder = stated.get("folder")
        extracts = [_extract(file, folder) for file in stated["files"]]
        return SignedIndex(
            _instant(stated["written_at"]),
            tuple(file for file in extracts if file is not None),
            tuple(
                AwaitedFile(one["file"], _instant(one["publish_by"]))
                for one in stated.get("next", ())
                if OfferedFile.of(one["file"], 0) is not None
            ),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SyncRefusedError(Refusal.INDEX, INDEX, f"it is no index ({type(error).__name__}: {error}).") from error


def _instant(stated: str) -> datetime:
    """UTC. Raises ValueError."""
    found = datetime.fromisoformat(stated)
    if found.tzinfo is None:
        raise ValueError(f"{stated} has no time zone")
    return found.astimezone(UTC)


def _extract(stated: Mapping[str, Any], of_index: str | None) -> OfferedFile | None:
    """Folders are the operator's: a Party may see others, so what counts is the way from the index's to the file's."""
    state = SetDigest.parse(stated["state"]) if "state" in stated else None
    pages = TableFile(*(stated["pages"][name] for name in ("name", "bytes", "sha256"))) if "pages" in stated else None
    file = OfferedFile.of(stated["name"], stated["bytes"], stated["sha256"], state, pages)
    if file is None or not of_index:
        return file
    root = posixpath.sep  # an operator's: without it, the way would go by this machine's working directory
    there, here = (posixpath.join(root, folder) for folder in (stated["folder"], of_index))
    return replace(file, folder=posixpath.relpath(there, here))
