"""The operator that publishes, on a real sshd and ledger: which publication is an event for other DAGs."""

import gzip
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Asset, AssetAlias
from airflow.sdk.exceptions import AirflowSkipException
from airflow.sdk.execution_time.context import OutletEventAccessors
from sqlalchemy import Engine

from builders import cleared, cut_off, day, during, lodge_bodies, look_alikes, made_artefact, store_in
from smki.errors import LedgerBehindError, PublicationRefusedError
from smki.publish.ledger import end_publication
from smki.repository.database import libpq_url
from smki.repository.windows import close_windows
from smki_airflow.names import PUBLISHED, connection_id
from smki_airflow.publishing.handover import artefact_as_json
from smki_airflow.publishing.publish import PublishOperator
from smki_demo.generator.pki import Pki
from smki_demo.generator.revocation import CRL_VALIDITY, revocation_list

from .conftest import OpenSshServer

Events = list[tuple[Asset, dict[str, Any]]]
Publish = Callable[..., Events]
SITES = ("primary", "dr")


@pytest.fixture(scope="module")
def lists(pki: Pki) -> dict[str, bytes]:
    """Files of revocation lists."""
    now = datetime.now(UTC)
    ends = {"one": now + CRL_VALIDITY, "two": now + CRL_VALIDITY, "ended": now - timedelta(minutes=1)}
    return {
        name: gzip.compress(revocation_list(pki.issuing_oca, number, now - timedelta(hours=1), at), mtime=0)
        for number, (name, at) in enumerate(ends.items(), 1)
    }


@pytest.fixture
def publish(
    repository: Engine,
    sshd: OpenSshServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    lists: dict[str, bytes],
) -> Publish:
    """Publishes a list on one of two sites by the run of this name; the events that other DAGs hear of."""
    monkeypatch.setenv("SMKI_DATABASE_URL", libpq_url(repository))
    monkeypatch.setenv("SMKI_STORE", store_in(tmp_path).name)
    monkeypatch.setenv("SMKI_SITES", ",".join(SITES))
    for name in SITES:
        extra = {"key_file": str(sshd.site.key_file), "host_key": sshd.site.host_key, "folder": name}
        stated = {"conn_type": "smki_site", "host": sshd.site.host, "port": sshd.site.port}
        stated |= {"login": sshd.site.username, "extra": extra}
        monkeypatch.setenv(f"AIRFLOW_CONN_{connection_id(name).upper()}", json.dumps(stated))

    def run(
        site: str,
        which: str = "one",
        run_id: str = "monday",
        version: int | None = 1,
        obligation: str = "crl",
        name: str = "SMKIKR_ORGANISATION_CRL.crl.gz",
    ) -> Events:
        content = lists[which]
        sha256 = store_in(tmp_path).put_content("files", content)
        size, of_run = len(content), f"dag/{run_id}"
        artefact = made_artefact(
            obligation, name, date(2026, 3, 1), sha256, bytes=size, records=3, run=of_run, version=version
        )
        events = OutletEventAccessors()
        context = {"dag_run": SimpleNamespace(dag_id="dag", run_id=run_id), "outlet_events": events}
        stated = artefact_as_json(cleared(repository, artefact))
        operator = PublishOperator(task_id=f"publish_{site}", artefact=json.loads(json.dumps(stated)), site=site)
        returned = operator.execute(context)
        assert (returned["bytes_sent"], returned["bytes_copied"]) == (returned["bytes"], 0)
        heard = events[AssetAlias(PUBLISHED)].asset_alias_events
        return [(event.dest_asset_key.to_asset(), event.extra) for event in heard]

    return run


def test_file_is_an_event_once_it_is_on_every_site(publish: Publish, lists: dict[str, bytes]) -> None:
    assert publish("primary") == []
    ((asset, extra),) = publish("dr")
    assert asset == Asset("smki://crl"), "what others' DAGs name"
    assert extra["sha256"] == hashlib.sha256(lists["one"]).hexdigest()
    assert (extra["business_date"], extra["version"], extra["records"]) == ("2026-03-01", 1, 3)


def test_run_that_finds_it_published_is_no_event(publish: Publish) -> None:
    for site in SITES:
        publish(site)
    assert [publish(site, run_id="tuesday") for site in SITES] == [[], []]


def test_successor_is_an_event_once_every_site_has_it(publish: Publish) -> None:
    for site in SITES:
        publish(site)
    assert publish("dr", "two", "tuesday", 2) == []
    ((_, extra),) = publish("primary", "two", "tuesday", 2)
    assert extra["version"] == 2


def test_list_that_is_superseded_is_no_event(publish: Publish) -> None:
    for site in SITES:
        publish(site, "two", "tuesday", 2)
    assert [publish(site) for site in SITES] == [[], []]


def test_list_that_ran_out_before_it_was_released_is_not_published(publish: Publish, sshd: OpenSshServer) -> None:
    with pytest.raises(PublicationRefusedError, match="before it was released"):
        publish("primary", "ended")
    assert not (sshd.root / "primary").exists()


def test_task_whose_worker_died_after_the_publication_still_makes_it_an_event(publish: Publish) -> None:
    publish("primary")
    publish("dr")  # and what it returned was lost
    assert len(publish("dr")) == 1


def test_file_that_retention_has_removed_does_not_come_back_and_its_task_is_skipped(
    publish: Publish, repository: Engine, sshd: OpenSshServer
) -> None:
    name = "SMKIKR_DELT_2026-03-01.xml.gz"
    delta: dict[str, Any] = {"version": None, "obligation": "delta", "name": name}
    publish("primary", **delta)
    with repository.begin() as connection:
        end_publication(connection, "primary", name, "dag/retention", "kept for 30 days")
    file = sshd.root / "primary" / name
    file.unlink()
    for run_id in ("monday", "tuesday"):
        with pytest.raises(AirflowSkipException, match="kept for 30 days"):
            publish("primary", run_id=run_id, **delta)
    assert not file.exists()
    assert publish("dr", **delta) == []
    assert (sshd.root / "dr" / name).exists()


def test_site_that_lagged_behind_makes_the_event_when_another_run_puts_it_right(publish: Publish) -> None:
    publish("primary")
    assert publish("primary", run_id="tuesday") == []
    assert len(publish("dr", run_id="tuesday")) == 1


def test_where_the_ledger_is_behind_the_site_lists_go_out_and_dated_files_do_not(
    publish: Publish, repository: Engine, sshd: OpenSshServer
) -> None:
    lodge_bodies(repository, look_alikes(1), during(7))
    close_windows(repository, day(8), cut_off)
    deltas = [f"SMKIKR_DELT_{day(number)}.xml.gz" for number in (7, 8)]
    unknown = sshd.root / "primary" / deltas[1]
    unknown.parent.mkdir(parents=True)
    unknown.write_bytes(b"published before the ledger was restored")

    def publish_delta(site: str) -> None:
        publish(site, version=None, obligation="delta", name=deltas[0])

    with pytest.raises(LedgerBehindError) as error:
        publish_delta("primary")
    assert (error.value.item, deltas[1] in error.value.rule) == ("ledger of site primary", True)
    publish_delta("dr")
    publish("primary")
    unknown.unlink()
    publish_delta("primary")
    assert sorted(path.name for path in unknown.parent.iterdir()) == [deltas[0], "SMKIKR_ORGANISATION_CRL.crl.gz"]
