"""The four files as one set on a real server: one version, replaced together, completed by a retry."""

from collections.abc import Sequence

import asyncssh
import pytest

from builders import cleared
from smki.errors import ConfigurationError
from smki.kinds.anchors.production import content_digests
from smki.kinds.anchors.set_ledger import set_state, unpublished
from smki.kinds.anchors.slots import Slot
from smki.publish.artefact import Artefact
from smki.publish.ledger import publication_history, publish_artefact
from smki.publish.site import Site
from smki.store.content import SmallFile

from ...publish.conftest import FaultyServer
from .conftest import Anchors


def publish(anchors: Anchors, site: Site, artefacts: Sequence[Artefact]) -> None:
    for artefact in artefacts:
        content = SmallFile(artefact.name, (anchors.folder / artefact.name).read_bytes())
        publish_artefact(
            anchors.engine, site, cleared(anchors.engine, artefact), content, "test", lambda _done, _of: None
        )


def offered(server: FaultyServer) -> dict[str, tuple[bytes, int]]:
    return {
        file.name: (file.read_bytes(), file.stat().st_ino) for file in server.published.iterdir() if file.name[0] != "."
    }


def waiting(anchors: Anchors) -> list[str]:
    return unpublished(anchors.engine, content_digests(anchors.checked(), anchors.guide), ["primary"])


def test_all_four_are_published_with_one_version(anchors: Anchors, faulty: FaultyServer):
    assert len(waiting(anchors)) == 4
    artefacts = anchors.recorded()
    publish(anchors, faulty.site, artefacts)
    assert [artefact.version for artefact in artefacts] == [1, 1, 1, 1]
    state = set_state(anchors.engine, anchors.guide, "primary")
    assert (state.complete, state.version) == (True, 1)
    assert {file.offered_version for file in state.files} == {1}
    assert waiting(anchors) == []


def test_nothing_is_replaced_while_nothing_changes(anchors: Anchors, faulty: FaultyServer):
    publish(anchors, faulty.site, anchors.recorded())
    before = offered(faulty)
    again = anchors.recorded()
    publish(anchors, faulty.site, again)
    assert {artefact.version for artefact in again} == {1}
    assert offered(faulty) == before


def test_a_change_raises_the_version_of_all_four(anchors: Anchors, faulty: FaultyServer):
    publish(anchors, faulty.site, anchors.recorded())
    before = offered(faulty)
    supplier = anchors.serials(Slot.SUPPLIER_DS)[-1]
    anchors.edit(f'  {{ issuer = "OCA1", serial = "{supplier}" }},\n', "")
    assert len(waiting(anchors)) == 4
    artefacts = anchors.recorded()
    publish(anchors, faulty.site, artefacts)
    assert {artefact.version for artefact in artefacts} == {2}
    after = offered(faulty)
    assert all(after[name] != before[name] for name in before)
    assert str(set_state(anchors.engine, anchors.guide, "primary")).startswith("site primary: version 2 complete")


def test_files_that_stay_as_they_are_share_the_new_version(anchors: Anchors, faulty: FaultyServer):
    publish(anchors, faulty.site, anchors.recorded())
    before = offered(faulty)
    anchors.edit('revision = "generated"', 'revision = "next"')
    publish(anchors, faulty.site, anchors.recorded())
    after = offered(faulty)
    assert {name for name in before if after[name] == before[name]} == {name for name in before if name.endswith(".gz")}
    state = set_state(anchors.engine, anchors.guide, "primary")
    assert state.complete
    assert {file.offered_version for file in state.files} == {2}


def test_set_that_stops_half_way_is_visible_and_a_retry_completes_it(anchors: Anchors, faulty: FaultyServer):
    publish(anchors, faulty.site, anchors.recorded())
    anchors.edit(f'  {{ issuer = "OCA1", serial = "{anchors.serials(Slot.SUPPLIER_DS)[-1]}" }},\n', "")
    artefacts = anchors.recorded()
    publish(anchors, faulty.site, artefacts[:1])
    faulty.faults.answers = {"posix_rename": asyncssh.SFTPOpUnsupported("no")}  # the second rename is refused
    with pytest.raises(ConfigurationError, match="posix-rename"):
        publish(anchors, faulty.site, artefacts[1:])

    state = set_state(anchors.engine, anchors.guide, "primary")
    assert not state.complete
    assert [file.offered_version for file in state.files] == [2, 1, 1, 1]
    assert "incomplete (SMKIKR_ANCHOR_NORTH.xml.gz version 2, SMKIKR_ANCHOR_CENTRAL_SOUTH.xml.gz version 1" in str(
        state
    )
    assert len(waiting(anchors)) == 3

    faulty.faults.answers = {}
    again = anchors.recorded()  # a new run, not only a repeated task
    assert {artefact.version for artefact in again} == {2}, "the version that was meant"
    publish(anchors, faulty.site, again)
    assert set_state(anchors.engine, anchors.guide, "primary").complete


def test_going_back_to_an_earlier_configuration_is_a_new_version(anchors: Anchors, faulty: FaultyServer):
    publish(anchors, faulty.site, anchors.recorded())
    first, text = offered(faulty), anchors.configuration.read_text()
    anchors.edit(f'  {{ issuer = "OCA1", serial = "{anchors.serials(Slot.SUPPLIER_DS)[-1]}" }},\n', "")
    publish(anchors, faulty.site, anchors.recorded())
    anchors.configuration.write_text(text)
    publish(anchors, faulty.site, back := anchors.recorded())
    assert {artefact.version for artefact in back} == {3}
    assert {name: content for name, (content, _) in offered(faulty).items()} == {
        name: content for name, (content, _) in first.items()
    }


def test_late_set_of_an_older_version_is_superseded(anchors: Anchors, faulty: FaultyServer):
    old = anchors.recorded()
    kept = {artefact.name: (anchors.folder / artefact.name).read_bytes() for artefact in old}
    anchors.edit(f'  {{ issuer = "OCA1", serial = "{anchors.serials(Slot.SUPPLIER_DS)[-1]}" }},\n', "")
    publish(anchors, faulty.site, anchors.recorded())
    before = offered(faulty)
    for name, content in kept.items():
        (anchors.folder / name).write_bytes(content)
    publish(anchors, faulty.site, old)
    assert offered(faulty) == before
    with anchors.engine.connect() as connection:
        assert len(publication_history(connection, "primary", old[0].name)) == 1


def test_state_before_anything_was_produced(anchors: Anchors):
    state = set_state(anchors.engine, anchors.guide, "primary")
    assert (state.complete, state.version) == (False, None)
    assert "not published" in str(state)
