"""The signed index of a site, read as a Party reads it."""

import json
import posixpath

from cryptography import x509
from paramiko import SFTPClient

from smki.certificates.detached_signatures import is_signed
from smki.obligations.catalogue import Index
from smki.publish.readback import odd_type, read_file
from smki.watch.party_session import PartySession
from smki.watch.site_findings import SeenIndex

_MOST_BYTES = 64 << 20  # of an index: a file that is offered has some hundred


def look_at_index(session: PartySession, folder: str, index: Index, signer: x509.Certificate) -> SeenIndex:
    """What a Party that has pinned the certificate finds below a folder. Raises SiteUnavailableError."""
    read = dict[str, bytes]()
    for name in (index.file, index.signature):
        path = posixpath.join(folder, name)
        with session.each_file(path):
            if rule := _reason_not_to_read(session.sftp, path):
                return SeenIndex(f"{name}: {rule}")
            read[name] = read_file(session.sftp, path, session.sftp.lstat(path).st_size or 0)
        if name not in read:
            obstacle = session.obstacles.pop(path)
            return SeenIndex(f"{name}: {obstacle.rule if obstacle else 'it is not there.'}")
    content, signature = read.values()
    if not is_signed(content, signature, [signer]):
        return SeenIndex(
            f"it is not signed by the certificate {signer.subject.rfc4514_string()} that it goes out with."
        )
    try:
        stated = json.loads(content)
        files = stated["files"]
        return SeenIndex(
            files={one["name"]: one["sha256"] for one in files},
            tables={one["name"]: (one["pages"]["name"], one["pages"]["bytes"]) for one in files if "pages" in one},
        )
    except (ValueError, KeyError, TypeError) as error:
        return SeenIndex(f"it is signed, and no index ({type(error).__name__}: {error}).")


def _reason_not_to_read(sftp: SFTPClient, path: str) -> str:
    stands = sftp.lstat(path)
    if odd := odd_type(stands.st_mode or 0):
        return f"{odd} has its name, so for Parties it is not there."
    return f"it has {stands.st_size:,} bytes." if (stands.st_size or 0) > _MOST_BYTES else ""
