"""A file that a server has lost comes back from the store: nothing is rendered, verified or judged again."""

from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from builders import (
    SMALL_PAGES,
    cleared,
    cut_off,
    day,
    during,
    lodge_bodies,
    look_alikes,
    produced,
    store_in,
    stored_artefact,
)
from smki.obligations.catalogue import UserGuide
from smki.publish.ledger import publish_artefact
from smki.repository.windows import close_windows
from smki.store.content import stored_content

RENDERED_FROM = "certificate, status_event, body_hash, issuer"


def test_lost_extract_comes_back_while_nobody_can_read_a_certificate(
    repository: Engine, sshd: Any, user_guide: UserGuide, tmp_path: Path
) -> None:
    lodge_bodies(repository, look_alikes(60), during(1))
    close_windows(repository, day(1), cut_off)
    file, manifest = produced(repository, user_guide.full, day(1), tmp_path, page_format=SMALL_PAGES)
    store = store_in(tmp_path)
    artefact = stored_artefact(store, manifest)

    def publish() -> None:
        content = stored_content(store, artefact.name, artefact.sha256, artefact.manifest)
        publish_artefact(
            repository, sshd.site, cleared(repository, artefact), content, "test", lambda _done, _total: None
        )

    publish()
    on_the_server = sshd.published / manifest.name
    on_the_server.unlink()
    with repository.begin() as others:
        others.execute(text(f"LOCK TABLE {RENDERED_FROM} IN ACCESS EXCLUSIVE MODE"))
        publish()
    assert on_the_server.read_bytes() == file.read_bytes()
