"""Measured processes: bringing a file to a site."""

import time
from pathlib import Path
from typing import Any

from answering import answer

from smki.publish.recipe import publish_file
from smki.publish.site import Site, open_sftp
from smki.publish.upload import upload as upload_file


def upload(site: dict[str, Any], file: str, name: str) -> float:
    """`upload` of a file into the site's folder; seconds from before the login to after the last answer."""
    target = _site(site)
    begun = time.perf_counter()
    with open_sftp(target) as sftp:
        upload_file(sftp, Path(file), f"{target.folder}/{name}", _unseen)
    return time.perf_counter() - begun


def publish(site: dict[str, Any], file: str, name: str, sha256: str) -> float:
    """`publish_file`, the whole recipe: upload, sync, read back and hash, rename, look again; seconds likewise."""
    target = _site(site)
    begun = time.perf_counter()
    with open_sftp(target) as sftp:
        publish_file(sftp, Path(file), name, target.folder, sha256, _unseen)
    return time.perf_counter() - begun


def _site(stated: dict[str, Any]) -> Site:
    return Site(**stated | {"key_file": Path(stated["key_file"])})


def _unseen(_done: int, _total: int) -> None:
    """A progress that nobody watches."""


if __name__ == "__main__":
    answer(upload, publish)
