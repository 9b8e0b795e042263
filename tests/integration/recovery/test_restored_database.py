"""PostgreSQL is lost, and comes back as it was an hour ago: what it has forgotten stands on the server."""

import gzip
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from builders import (
    change,
    cleared,
    contents_of,
    day,
    during,
    lodge_bodies,
    produced,
    state_as_of,
    store_in,
    stored_artefact,
    trust_pki,
)
from smki.certificates.model import Status
from smki.errors import LedgerBehindError, RepositoryUnavailableError
from smki.obligations.catalogue import Obligation, UserGuide
from smki.publish.ledger import Publication, publication_history, publish_artefact
from smki.publish.site import Site
from smki.publish.unknown_files import refuse_if_behind, refuse_to_close
from smki.repository.database import libpq_url
from smki.repository.migrate import migrate
from smki.repository.windows import close_windows, find_window, in_use_digest
from smki.store.paged_file import PagedFile
from smki_demo.generator.pki import Pki

from ..cli.test_commands import as_json
from ..publish.conftest import OpenSshServer
from .conftest import Cluster

KNOWN, LOST, NEXT = day(8), day(9), day(10)
LOST_NAMES = [f"SMKIKR_DELT_{LOST}.xml.gz", f"SMKIKR_FULL_{LOST}.xml.gz"]


@dataclass
class Publisher:
    """What publishes on a site, from a database that may be lost; and a Party that follows it."""

    cluster: Cluster
    engine: Engine
    guide: UserGuide
    sshd: OpenSshServer
    folder: Path
    names: tuple[str, ...] = ("primary",)  # of its sites
    down: str = ""  # a site that does not answer

    def sites(self) -> list[Site]:
        """Each is a folder of one server."""
        site = self.sshd.site
        return [
            replace(
                site,
                name=name,
                folder=site.folder if name == "primary" else name,
                port=1 if name == self.down else site.port,
            )
            for name in self.names
        ]

    def publish(self, obligation: Obligation, business_date: date) -> Publication:
        """Closes the windows up to that day and publishes its file on every site; returns what the first one has."""
        close_windows(self.engine, business_date, self.guide.delta.cut_off.at)
        _, manifest = produced(self.engine, obligation, business_date, self.folder)
        artefact = cleared(self.engine, stored_artefact(store_in(self.folder), manifest))
        content = PagedFile.stored(store_in(self.folder), manifest)
        made = []
        for site in self.sites():
            refuse_if_behind(self.engine, site, self.guide, datetime.now(UTC))
            made.append(publish_artefact(self.engine, site, artefact, content, "test", lambda _done, _of: None))
        return made[0]

    def lose_everything_since(self, at: datetime) -> None:
        self.engine.dispose()
        self.cluster.lose_and_restore(at)
        self.engine = self.cluster.engine()

    def smki(self, *arguments: object, code: int = 0) -> Any:
        environment = {
            "SMKI_DATABASE_URL": libpq_url(self.engine),
            "SMKI_STORE": str(self.folder / "store"),
            "SMKI_VAR": str(self.folder / "var"),
            "SMKI_SITES": ",".join(self.names),
            "SMKI_PARTY_KEY": str(self.sshd.site.key_file),
            "SMKI_PARTY_HOST_KEY": self.sshd.site.host_key,
        }
        for site in self.sites():
            login = {
                "host": site.host,
                "port": site.port,
                "login": site.username,
                "extra": {"key_file": str(site.key_file), "host_key": site.host_key, "folder": site.folder},
            }
            for of in ("SITE", "AUDIT"):
                environment[f"SMKI_{of}_{site.name.upper()}"] = json.dumps(login)
        return as_json(environment, *arguments, code=code)

    def findings(self) -> set[tuple[str, str]]:
        looks = self.smki("audit", code=1)
        return {(finding["kind"], finding["item"]) for looked in looks for finding in looked["findings"]}

    def sync(self) -> str:
        """Where a Party's copy is now: its set digest."""
        site = self.sshd.site
        url = f"sftp://{site.username}@{site.host}:{site.port}{self.sshd.published}"
        digest: str = self.smki("sync", url, "--into", self.folder / "copy.sqlite")["set_digest"]
        return digest

    def state(self, business_date: date) -> str:
        return str(in_use_digest(self.engine, find_window(self.engine, business_date).seq))

    def history(self, name: str, site: str = "primary") -> list[Publication]:
        with self.engine.connect() as connection:
            return publication_history(connection, site, name)


@pytest.fixture
def publisher(
    cluster: Cluster, user_guide: UserGuide, sshd: OpenSshServer, pki: Pki, signed: list[bytes], tmp_path: Path
) -> Publisher:
    """With a full extract and a delta; of the certificates of the day after it, half are in the backup."""
    return begin(Publisher(cluster, cluster.engine(), user_guide, sshd, tmp_path), pki, signed)


@pytest.fixture
def two_sites(
    cluster: Cluster, user_guide: UserGuide, sshd: OpenSshServer, pki: Pki, signed: list[bytes], tmp_path: Path
) -> Publisher:
    """The same with a second site."""
    (sshd.root / "dr").mkdir()
    return begin(Publisher(cluster, cluster.engine(), user_guide, sshd, tmp_path, ("primary", "dr")), pki, signed)


def begin(made: Publisher, pki: Pki, signed: list[bytes]) -> Publisher:
    engine = made.engine
    migrate(engine)
    trust_pki(engine, pki)
    lodge_bodies(engine, signed[:30], during(7))
    made.publish(made.guide.full, day(7))
    lodge_bodies(engine, signed[30:34], during(8), Status.PENDING)
    made.publish(made.guide.delta, KNOWN)
    lodge_bodies(engine, signed[34:38], during(9))
    change(engine, signed[6:8], Status.NOT_IN_USE, during(9, 1))
    made.cluster.back_up()
    return made


def go_on(publisher: Publisher, signed: Iterable[bytes]) -> None:
    """What is done after the backup and forgotten with the loss."""
    bodies = list(signed)
    lodge_bodies(publisher.engine, bodies[38:42], during(9, 14), Status.PENDING)
    change(publisher.engine, bodies[6:7], Status.IN_USE, during(9, 15))
    change(publisher.engine, bodies[8:9], Status.REVOKED, during(9, 16))
    change(publisher.engine, bodies[9:10], Status.NOT_IN_USE, during(9, 17))
    change(publisher.engine, bodies[9:10], Status.IN_USE, during(9, 18))
    publisher.publish(publisher.guide.delta, LOST)
    publisher.publish(publisher.guide.full, LOST)


def test_files_that_the_restored_ledger_does_not_know_are_adopted_and_publishing_goes_on(
    publisher: Publisher, signed: list[bytes]
) -> None:
    at = publisher.cluster.now()
    go_on(publisher, signed)
    state, bodies = publisher.state(LOST), state_as_of(publisher.engine, 9)
    published = {path.name: path.read_bytes() for path in publisher.sshd.published.iterdir()}
    assert publisher.sync() == state
    publisher.lose_everything_since(at)

    with pytest.raises(LedgerBehindError, match=LOST_NAMES[0]):
        publisher.publish(publisher.guide.delta, KNOWN)
    assert ("ledger behind", "ledger") in publisher.findings()
    site = publisher.sshd.site
    sites = {"down": replace(site, port=1), site.name: site}
    close = partial(refuse_to_close, publisher.engine, sites, sites.__getitem__, publisher.guide, now=datetime.now(UTC))
    close(KNOWN)  # it is closed already
    with pytest.raises(LedgerBehindError, match=LOST_NAMES[1]):
        close(LOST)
    assert publisher.smki("windows", "close", "--to", LOST, code=1)["error"] == "LedgerBehindError"
    asked = publisher.smki("adopt", "--dry-run")
    assert [one["file"] for one in asked] == LOST_NAMES
    assert {one["outcome"] for one in asked} == {"not known to the ledger"}
    assert publisher.history(LOST_NAMES[0]) == []

    adopted = publisher.smki("adopt")
    assert [(one["outcome"], one["lodged"]) for one in adopted] == [("adopted", 4), ("adopted", 0)]
    assert (publisher.state(LOST), state_as_of(publisher.engine, 9)) == (state, bodies)
    (known,) = publisher.history(LOST_NAMES[0])
    assert known.published_at < datetime.now(UTC)
    assert publisher.smki("adopt") == []
    assert ("ledger behind", "ledger") not in publisher.findings()

    assert publisher.publish(publisher.guide.delta, LOST).published_at == known.published_at, "it finds it published"
    change(publisher.engine, signed[10:11], Status.REVOKED, during(10))
    publisher.publish(publisher.guide.delta, NEXT)
    assert published.items() <= {path.name: path.read_bytes() for path in publisher.sshd.published.iterdir()}.items()
    assert contents_of(publisher.sshd.published / f"SMKIKR_DELT_{NEXT}.xml.gz") == {signed[10]: "R"}
    assert publisher.sync() == publisher.state(NEXT)


@pytest.mark.parametrize("down", ["", "dr", "primary"])
def test_files_are_adopted_on_every_site_also_on_one_that_was_down_meanwhile(
    two_sites: Publisher, signed: list[bytes], down: str
) -> None:
    at = two_sites.cluster.now()
    go_on(two_sites, signed)
    two_sites.lose_everything_since(at)
    if down:
        two_sites.down = down
        adopted = two_sites.smki("adopt", code=4)
        assert len([one for one in adopted if one.get("outcome") == "adopted"]) == 2
        two_sites.down = ""
        assert ("ledger behind", "ledger") in two_sites.findings()
        site = next(site for site in two_sites.sites() if site.name == down)
        with pytest.raises(LedgerBehindError, match=LOST_NAMES[0]):
            refuse_if_behind(two_sites.engine, site, two_sites.guide, datetime.now(UTC))

    adopted = two_sites.smki("adopt")
    where = [down] if down else two_sites.names
    assert [(one["file"], one["site"], one["outcome"]) for one in adopted] == [
        (name, site, "adopted") for name in LOST_NAMES for site in where
    ]
    assert [one["lodged"] for one in adopted] == [0 if down else 4] + [0] * (len(adopted) - 1)
    assert two_sites.smki("adopt") == []
    assert not {item for kind, item in two_sites.findings() if kind in ("ledger behind", "unexpected")}
    known = [two_sites.history(name, site) for name in LOST_NAMES for site in two_sites.names]
    assert [len(history) for history in known] == [1, 1, 1, 1]
    for obligation in (two_sites.guide.delta, two_sites.guide.full):
        two_sites.publish(obligation, LOST)
    assert [two_sites.history(name, site) for name in LOST_NAMES for site in two_sites.names] == known


def test_file_that_differs_between_sites_is_adopted_on_none(two_sites: Publisher, signed: list[bytes]) -> None:
    at = two_sites.cluster.now()
    go_on(two_sites, signed)
    two_sites.lose_everything_since(at)
    changed = two_sites.sshd.root / "dr" / LOST_NAMES[0]
    content = gzip.decompress(changed.read_bytes())
    changed.unlink()
    changed.write_bytes(gzip.compress(content + b"\n"))
    adopted = two_sites.smki("adopt", code=1)
    assert [(one["outcome"], one["error"]) for one in adopted] == [("left", "AdoptionError")] * 4
    assert state_as_of(two_sites.engine, 9) == state_as_of(two_sites.engine, 8), "nothing of it was lodged"

    changed.rename(two_sites.folder / "kept")
    adopted = two_sites.smki("adopt")
    assert [(one["file"], one["site"]) for one in adopted] == [
        (LOST_NAMES[0], "primary"),
        (LOST_NAMES[1], "primary"),
        (LOST_NAMES[1], "dr"),
    ]
    two_sites.publish(two_sites.guide.delta, LOST)
    assert changed.exists()


def test_file_of_another_repository_is_left_and_once_it_is_moved_away_the_day_is_published(
    publisher: Publisher, signed: list[bytes]
) -> None:
    at = publisher.cluster.now()
    go_on(publisher, signed)
    publisher.lose_everything_since(at)
    lodge_bodies(publisher.engine, signed[42:43], during(9, 20))  # before anybody has looked
    left, after = publisher.smki("adopt", code=1)
    assert (left["outcome"], left["error"], after["outcome"]) == ("left", "AdoptionError", "left")
    assert LOST_NAMES[0] in after["rule"]
    assert "1 certificates that changed before its cut-off are not in it" in left["rule"]
    assert state_as_of(publisher.engine, 9) == state_as_of(publisher.engine, 8), "nothing of it was lodged"

    for name in LOST_NAMES:
        (publisher.sshd.published / name).rename(publisher.folder / f"kept-{name}")
    publisher.publish(publisher.guide.delta, LOST)
    assert publisher.smki("adopt") == []


def test_repository_that_was_lost_whole_publishes_nothing_until_it_is_rebuilt(
    publisher: Publisher, repository: Engine, pki: Pki, signed: list[bytes]
) -> None:
    names = [f"SMKIKR_FULL_{day(7)}.xml.gz", f"SMKIKR_DELT_{KNOWN}.xml.gz"]
    publisher.engine = repository
    trust_pki(repository, pki)
    site = publisher.sshd.site
    look = partial(refuse_if_behind, repository, site, publisher.guide, datetime.now(UTC))
    close = partial(refuse_to_close, repository, [site.name], lambda _: site, publisher.guide, now=datetime.now(UTC))
    for refused in (look, partial(close, LOST)):
        with pytest.raises(LedgerBehindError, match=f"{names[1]}, {names[0]} are newer"):
            refused()
    assert ("ledger behind", "ledger") in publisher.findings()
    assert {one["outcome"] for one in publisher.smki("adopt", code=1)} == {"left"}

    publisher.smki("takeover", *(publisher.sshd.published / name for name in names))
    look()
    close(LOST)
    lodge_bodies(repository, signed[40:42], during(9))
    publisher.publish(publisher.guide.delta, LOST)
    assert publisher.sync() == publisher.state(LOST)


def test_files_that_were_taken_over_are_adopted_as_they_stand(
    publisher: Publisher, repository: Engine, pki: Pki, signed: list[bytes]
) -> None:
    full, delta = f"SMKIKR_FULL_{day(7)}.xml.gz", f"SMKIKR_DELT_{KNOWN}.xml.gz"
    publisher.engine = repository
    trust_pki(repository, pki)
    publisher.smki("takeover", *(publisher.sshd.published / name for name in (full, delta)))
    there = publisher.sshd.published / delta
    published = there.read_bytes()
    other = gzip.decompress(published).replace(b"Status>P<", b"Status>N<", 1)
    assert other != gzip.decompress(published)
    rewrite(there, other)
    assert ("not adopted", "files that were taken over") in publisher.findings()
    adopted, left = publisher.smki("adopt", code=1)
    assert (adopted["file"], adopted["outcome"]) == (full, "adopted")
    assert (left["file"], left["outcome"], left["error"]) == (delta, "left", "AdoptionError")

    lodge_bodies(repository, signed[40:42], during(9))
    publisher.publish(publisher.guide.delta, LOST)
    foreign = gzip.decompress(published).replace(b"><", b">\n<")  # another publisher's hand
    rewrite(there, foreign)
    assert [(one["file"], one["outcome"]) for one in publisher.smki("adopt")] == [(delta, "adopted")]
    assert publisher.smki("adopt") == []
    standing = {(kind, item) for kind, item in publisher.findings() if kind in ("not adopted", "unexpected", "altered")}
    assert standing == set()
    (planned,) = publisher.smki("retention", "plan")
    assert [Path(one["path"]).name for one in planned["files"] if one["action"] == "foreign"] == []
    assert publisher.sync() == publisher.state(LOST)


def rewrite(file: Path, xml: bytes) -> None:
    with file.open("wb") as out, gzip.GzipFile(file.name.removesuffix(".gz"), "wb", fileobj=out) as compressed:
        compressed.write(xml)


def test_database_that_goes_away_meanwhile_is_no_site_that_does_not_answer(
    publisher: Publisher, repository: Engine, server: Engine
) -> None:
    database = repository.url.database

    def login(_name: str) -> Site:
        with server.connect() as connection:
            connection.execute(text(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false"))
            ended = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :database")
            connection.execute(ended, {"database": database})
        return publisher.sshd.site

    with pytest.raises(RepositoryUnavailableError):
        refuse_to_close(repository, ["primary"], login, publisher.guide, LOST, datetime.now(UTC))
    with server.connect() as connection:
        connection.execute(text(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true"))
