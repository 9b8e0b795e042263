"""What is published, and what the ledger says of it."""

from dataclasses import dataclass
from datetime import date, datetime

from smki.certificates.set_digest import SetDigest


@dataclass(frozen=True, slots=True)
class Artefact:
    """One produced and verified file."""

    obligation: str  # as user_guide.toml names it
    name: str  # of the file on the server
    business_date: date
    window_seq: int | None  # the window that it is consistent with; none for anchors
    bytes: int  # of the file
    sha256: str  # of the file, hex
    content_digest: str  # of the XML, hex; equal for equal content
    xml_bytes: int
    records: int
    set_digest: SetDigest  # of the certificates in it
    run: str  # who produced it: an Airflow run or a command line
    verified_at: datetime  # UTC
    version: int | None = None  # of a file that is replaced in place: rises with its content
    subject: str = ""  # whom it is for; empty: all Parties
    manifest: str = ""  # SHA-256 of its manifest in the store, hex; empty: the file is one object


@dataclass(frozen=True, slots=True)
class Publication:
    """An artefact on a site, as the ledger records it."""

    site: str
    artefact: Artefact
    path: str  # on the server
    run: str  # who published it
    published_at: datetime  # UTC
    ended_at: datetime | None = None  # UTC; when its file was replaced or removed
    end_reason: str | None = None
    copied_bytes: int = 0  # that the server copied from another file; the rest was sent

    @property
    def sent_bytes(self) -> int:
        return self.artefact.bytes - self.copied_bytes

    @property
    def name(self) -> str:
        return self.artefact.name
