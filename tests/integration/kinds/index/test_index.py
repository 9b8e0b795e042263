"""The index of a real site: what the ledger offers, signed, as OpenSSL, a JSON schema and a Party read it."""

import gzip
import hashlib
import json
import posixpath
import sqlite3
import subprocess
import zlib
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from lxml import html
from sqlalchemy import Engine
from typer.testing import CliRunner

from builders import cleared, day, during, lodge_bodies, look_alikes, produced, store_in, stored_artefact
from builders import cut_off as cut_off_of
from conftest import CONFIG
from smki.certificates.set_digest import SetDigest
from smki.cli.application import app
from smki.kinds.index.publishing import publish_index
from smki.kinds.index.signing import load_signer
from smki.kinds.revocation.file import newest_list, write_revocation_file
from smki.obligations.catalogue import Index, Obligation, UserGuide
from smki.party.copy import LocalCopy
from smki.party.planning import Plan
from smki.party.refusals import Refusal, SyncRefusedError
from smki.party.signed_index import INDEX, load_signers
from smki.party.synchronising import Listener, Wish, plan, synchronise
from smki.publish.ledger import publish_artefact
from smki.repository.database import libpq_url
from smki.repository.windows import close_windows, find_window, in_use_digest
from smki.retention.execution import look_at_site
from smki.retention.rules import Action
from smki.settings import INCLUDE, Settings
from smki.store.content import SmallFile
from smki.store.paged_file import PagedFile
from smki_demo.generator.index_signer import make_signer
from smki_demo.generator.pki import Pki
from smki_demo.generator.revocation import issue_lists

from ...publish.conftest import OpenSshServer

BODIES = look_alikes(400)
FULL, DELTA = f"SMKIKR_FULL_{day(7)}.xml.gz", f"SMKIKR_DELT_{day(8)}.xml.gz"


@dataclass(frozen=True)
class Publisher:
    """A repository and a site."""

    engine: Engine
    guide: UserGuide
    sshd: OpenSshServer
    folder: Path

    def publish(self, obligation: Obligation, business_date: date, folder: str = "") -> None:
        close_windows(self.engine, business_date, cut_off_of)
        _, manifest = produced(self.engine, obligation, business_date, self.folder)
        store = store_in(self.folder)
        artefact, paged = stored_artefact(store, manifest), PagedFile.stored(store, manifest)
        cleared(self.engine, artefact)
        site = replace(self.sshd.site, folder=posixpath.join(self.sshd.site.folder, folder))
        publish_artefact(self.engine, site, artefact, paged, "test", lambda _done, _of: None)

    def publish_list(self, obligation: Obligation) -> None:
        lodged = newest_list(self.engine, obligation)
        assert lodged is not None
        artefact = write_revocation_file(obligation, lodged, self.folder, datetime.now(UTC), "test")
        content = SmallFile(artefact.name, (self.folder / artefact.name).read_bytes())
        cleared(self.engine, artefact)
        publish_artefact(self.engine, self.sshd.site, artefact, content, "test", lambda _done, _of: None)

    def publish_index(self, at: datetime | None = None) -> list[str]:
        stated = {
            "SMKI_INDEX_KEY": str(self.folder / "signer.key"),
            "SMKI_INDEX_CERTIFICATE": str(self.folder / "signer.pem"),
        }
        signer = load_signer(Settings.from_environment(stated))
        assert signer is not None
        store, site = store_in(self.folder), self.sshd.site
        return publish_index(self.engine, store, site, self.guide, signer, lambda: at or datetime.now(UTC))

    def written_at(self) -> datetime:
        index = json.loads((self.sshd.published / "SMKIKR_INDEX.json").read_bytes())
        return datetime.fromisoformat(index["written_at"])

    def state(self, business_date: date) -> SetDigest:
        return in_use_digest(self.engine, find_window(self.engine, business_date).seq)


@pytest.fixture
def publisher(repository: Engine, user_guide: UserGuide, sshd: OpenSshServer, tmp_path: Path) -> Publisher:
    """With a full extract of the first Sunday."""
    made = Publisher(repository, user_guide, sshd, tmp_path)
    make_signer(tmp_path)
    lodge_bodies(repository, BODIES[:390], during(7))
    made.publish(user_guide.full, day(7))
    return made


def test_index_states_what_a_site_offers(publisher: Publisher) -> None:
    lodge_bodies(publisher.engine, BODIES[390:], during(8))
    publisher.publish(publisher.guide.delta, day(8))
    table, published = f"SMKIKR_FULL_{day(7)}.pages", publisher.sshd.published
    replaced = ["SMKIKR_INDEX.json", "SMKIKR_INDEX.json.p7s", "SMKIKR_INDEX.html"]
    assert publisher.publish_index() == [table, *replaced]

    index = json.loads((published / "SMKIKR_INDEX.json").read_bytes())
    Draft202012Validator(json.loads((INCLUDE / "schema" / "index-1.json").read_bytes())).validate(index)
    assert index["chain"] == {"full": FULL, "deltas": [DELTA]}
    stated = {one["name"]: one for one in index["files"]}
    assert stated.keys() == {FULL, DELTA}
    for name, of_day in ((FULL, day(7)), (DELTA, day(8))):
        content, one = (published / name).read_bytes(), stated[name]
        assert (one["bytes"], one["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
        assert one["state"] == str(publisher.state(of_day))
    check_pages((published / FULL).read_bytes(), (published / table).read_bytes(), stated[FULL])

    verify = ["openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", "SMKIKR_INDEX.json.p7s"]
    pinned = ["-certfile", publisher.folder / "signer.pem", "-nointern", "-noverify"]
    subprocess.run([*verify, "-content", "SMKIKR_INDEX.json", *pinned], cwd=published, check=True, capture_output=True)

    assert publisher.publish_index() == replaced, "a table is written once"
    (published / f"SMKIKR_FULL_{day(0)}.pages").write_bytes(b"of a full extract that is gone")
    publisher.publish_index()
    assert not (published / f"SMKIKR_FULL_{day(0)}.pages").exists()
    plans = look_at_site(publisher.engine, publisher.sshd.site, publisher.guide).plans
    assert {plan.action for plan in plans if plan.name not in stated} == {Action.KEEP}


def test_status_page_says_what_the_index_says(publisher: Publisher, pki: Pki) -> None:
    lodge_bodies(publisher.engine, [*BODIES[390:], *pki.ca_certificates()], during(8))
    publisher.publish(publisher.guide.delta, day(8))
    issue_lists(publisher.engine, pki, datetime.now(UTC))
    publisher.publish_list(publisher.guide.obligation("crl"))
    publisher.publish_index()
    index = json.loads((publisher.sshd.published / "SMKIKR_INDEX.json").read_bytes())
    page = html.fromstring((publisher.sshd.published / "SMKIKR_INDEX.html").read_bytes())

    def values(within: Any) -> set[str]:
        """Instants and numbers, exactly, and texts."""
        return {*within.xpath(".//time/@datetime"), *within.xpath(".//data/@value"), *within.xpath("td/text()")}

    def rows(section: str) -> dict[str, Any]:
        return {row.xpath("string(th/code)"): row for row in page.xpath(f"//section[@id='{section}']//tbody/tr")}

    of_extract = ("bytes", "records", "window", "cut_off", "published_at")
    of_list = ("bytes", "number", "this_update", "next_update", "published_at")
    extracts, lists, due = rows("extracts"), rows("lists"), rows("next")
    for one in index["files"]:
        row, stated = (extracts, of_extract) if "window" in one else (lists, of_list)
        assert values(row[one["name"]]) == {str(one[key]) for key in stated}
    assert {*extracts, *lists} == {one["name"] for one in index["files"]}
    assert len(lists) == 1
    assert {name: next(iter(row.xpath(".//time/@datetime"))) for name, row in due.items()} == {
        one["file"]: one["publish_by"] for one in index["next"]
    }
    assert {name for name, row in extracts.items() if row.find_class("tag")} == {FULL, DELTA}
    (way,) = page.xpath("//section[@id='way']")
    assert way.xpath(".//code/text()")[:2] == [FULL, DELTA]
    assert str(publisher.state(day(8))) in way.text_content()
    assert str(sum(one["bytes"] for one in index["files"] if "window" in one)) in values(way)
    assert index["written_at"] in values(page.find(".//header"))
    assert page.xpath("//script | //link | //img | //@src") == [], "it needs nothing else"


def test_party_follows_the_signed_index_and_believes_nothing_else(publisher: Publisher) -> None:
    folder, published, guide = publisher.folder, publisher.sshd.published, publisher.guide
    copy = folder / "copy.sqlite"
    make_signer(folder, "next")
    signers = load_signers([folder / "next.pem", folder / "signer.pem"])
    plans: list[Plan] = []

    def sync(pinned: Any = signers) -> list[str]:
        applied = synchronise(publisher.sshd.site, copy, Wish(pinned), Listener(plans.append))
        return [one.name for one in applied]

    def refusal(pinned: Any = signers) -> Refusal:
        with pytest.raises(SyncRefusedError) as raised:
            sync(pinned)
        return raised.value.refusal

    def state() -> SetDigest:
        with LocalCopy(copy, read_only=True) as opened:
            opened.check()
            return opened.in_use

    publisher.publish_index()
    assert sync() == [FULL]
    assert state() == publisher.state(day(7))
    old = {name: (published / name).read_bytes() for name in ("SMKIKR_INDEX.json", "SMKIKR_INDEX.json.p7s")}

    lodge_bodies(publisher.engine, BODIES[390:399], during(8))
    publisher.publish(guide.delta, day(8))
    assert sync() == [], "it is not in the index yet"
    publisher.publish_index()
    assert sync() == [DELTA]
    assert state() == publisher.state(day(8))

    lodge_bodies(publisher.engine, BODIES[399:], during(14))
    publisher.publish(guide.full, day(14))
    publisher.publish_index()
    assert sync() == [f"SMKIKR_FULL_{day(14)}.xml.gz"]
    assert state() == publisher.state(day(14))
    assert plans[-1].by_pages is not None
    assert plans[-1].by_pages < plans[-1].files[0].bytes / 3, "the last page of four"

    (published / f"SMKIKR_FULL_{day(14)}.pages").unlink()
    copy.unlink()
    assert sync() == [f"SMKIKR_FULL_{day(14)}.xml.gz"], "whole"
    assert state() == publisher.state(day(14))

    assert refusal(signers[:1]) is Refusal.SIGNATURE
    for name, content in old.items():
        (published / name).write_bytes(content)
    assert refusal() is Refusal.OLD_INDEX
    (published / "SMKIKR_INDEX.json").write_bytes(old["SMKIKR_INDEX.json"].replace(b'"version": 1', b'"version": 2'))
    assert refusal() is Refusal.SIGNATURE
    assert state() == publisher.state(day(14))


def test_copy_goes_on_by_a_full_extract_where_a_listed_delta_is_not_there(publisher: Publisher) -> None:
    wish, copy = Wish(load_signers([publisher.folder / "signer.pem"])), publisher.folder / "copy.sqlite"
    publisher.publish_index()
    synchronise(publisher.sshd.site, copy, wish)
    lodge_bodies(publisher.engine, BODIES[390:], during(8))
    publisher.publish(publisher.guide.delta, day(8))
    publisher.publish(publisher.guide.full, day(8))
    publisher.publish_index()
    (publisher.sshd.published / DELTA).unlink()
    (applied,) = synchronise(publisher.sshd.site, copy, wish)
    assert (applied.name, applied.in_use) == (f"SMKIKR_FULL_{day(8)}.xml.gz", publisher.state(day(8)))


def test_copy_made_anew_takes_a_wrong_ones_place_though_a_later_delta_is_damaged(publisher: Publisher) -> None:
    published, copy = publisher.sshd.published, publisher.folder / "copy.sqlite"
    wish = Wish(load_signers([publisher.folder / "signer.pem"]))

    def refusal() -> SyncRefusedError:
        with pytest.raises(SyncRefusedError) as raised:
            synchronise(publisher.sshd.site, copy, replace(wish, anew=True))
        return raised.value

    def state() -> tuple[date | None, SetDigest]:
        with LocalCopy(copy, read_only=True) as opened:
            opened.check()
            return opened.day, opened.in_use

    lodge_bodies(publisher.engine, BODIES[390:395], during(8))
    publisher.publish(publisher.guide.delta, day(8))
    publisher.publish_index()
    synchronise(publisher.sshd.site, copy, wish)
    with closing(sqlite3.connect(copy)) as damaged, damaged:
        damaged.execute("UPDATE state SET in_use = ?", (str(SetDigest(1)),))
    lodge_bodies(publisher.engine, BODIES[395:], during(9))
    publisher.publish(publisher.guide.delta, day(9))
    publisher.publish_index()
    of_day = {number: published / f"SMKIKR_DELT_{day(number)}.xml.gz" for number in (8, 9)}
    whole = {number: file.read_bytes() for number, file in of_day.items()}
    of_day[9].write_bytes(whole[9][:-5])
    assert (refused := refusal()).refusal is Refusal.DAMAGED
    assert str(day(8)) in refused.consequence
    assert state() == (day(8), publisher.state(day(8)))

    of_day[8].write_bytes(whole[8][:-5])
    assert refusal().refusal is Refusal.DAMAGED
    assert state() == (day(8), publisher.state(day(8))), "what is right is not taken back"


def test_index_is_dated_after_the_one_before_it_whatever_clock_wrote_that(publisher: Publisher) -> None:
    now = datetime.now(UTC)
    for clock, expected in (
        (now + timedelta(minutes=3), now + timedelta(minutes=3)),
        (now, now + timedelta(minutes=3, microseconds=1)),
        (now + timedelta(days=2), now + timedelta(days=2)),
        (now, now),  # that clock was wrong
    ):
        publisher.publish_index(clock)
        assert publisher.written_at() == expected


def test_older_index_that_leads_to_the_copys_state_is_taken_and_forgets_no_newer_one(publisher: Publisher) -> None:
    published, copy, now = publisher.sshd.published, publisher.folder / "copy.sqlite", datetime.now(UTC)
    wish = Wish(load_signers([publisher.folder / "signer.pem"]))

    def publish(at: datetime) -> None:
        (published / "SMKIKR_INDEX.json").unlink(missing_ok=True)  # as on another site
        publisher.publish_index(at)

    def seen_at() -> datetime | None:
        with LocalCopy(copy, read_only=True) as opened:
            return opened.index_at

    publish(now)
    synchronise(publisher.sshd.site, copy, wish)
    publish(now - timedelta(seconds=5))
    assert synchronise(publisher.sshd.site, copy, wish) == []
    assert seen_at() == now
    lodge_bodies(publisher.engine, BODIES[390:], during(8))
    publisher.publish(publisher.guide.delta, day(8))
    publish(now - timedelta(seconds=4))
    assert [one.name for one in synchronise(publisher.sshd.site, copy, wish)] == [DELTA]
    publish(later := now + timedelta(seconds=9))
    whole = (published / FULL).read_bytes()
    (published / FULL).write_bytes(whole[:-5])
    with pytest.raises(SyncRefusedError):
        synchronise(publisher.sshd.site, copy, replace(wish, anew=True))
    assert seen_at() == later, "what was refused was seen"
    publish(now + timedelta(days=2))
    synchronise(publisher.sshd.site, copy, wish)
    assert (seen := seen_at()) is not None
    assert seen < datetime.now(UTC) + timedelta(minutes=5, seconds=1), "a date far ahead keeps no later index out"


def test_party_is_told_that_an_index_is_older_than_what_it_announces(publisher: Publisher) -> None:
    signers = load_signers([publisher.folder / "signer.pem"])

    def planned(at: datetime) -> Plan:
        publisher.publish_index(at)
        return plan(publisher.sshd.site, publisher.folder / "none.sqlite", Wish(signers))

    fresh, old = planned(now := datetime.now(UTC)), planned(before := now - timedelta(days=30))
    assert (fresh.written_at, fresh.overdue) == (now, ())
    assert old.written_at == before
    assert {late.name[:11] for late in old.overdue} == {"SMKIKR_FULL", "SMKIKR_DELT"}


def test_site_that_is_down_keeps_no_other_one_from_its_index(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, folder = publisher.sshd.site, publisher.folder
    login = {"host": site.host, "login": site.username}
    extra = {"key_file": str(site.key_file), "host_key": site.host_key, "folder": site.folder}
    for name, value in {
        "SMKI_DATABASE_URL": libpq_url(publisher.engine),
        "SMKI_VAR": str(folder / "var"),
        "SMKI_CONFIG": str(CONFIG),
        "SMKI_SITES": "down,primary",
        "SMKI_SITE_DOWN": json.dumps(login | {"port": 1, "extra": extra}),
        "SMKI_SITE_PRIMARY": json.dumps(login | {"port": site.port, "extra": extra}),
        "SMKI_INDEX_KEY": str(folder / "signer.key"),
        "SMKI_INDEX_CERTIFICATE": str(folder / "signer.pem"),
    }.items():
        monkeypatch.setenv(name, value)
    done = CliRunner().invoke(app, ["index", "publish", "--json"])
    down, primary = json.loads(done.stdout)
    assert (done.exit_code, down["site"], down["error"]) == (4, "down", "SiteUnavailableError")
    assert primary["site"] == "primary"
    assert "SMKIKR_INDEX.json" in primary["put"]


@pytest.mark.parametrize("of_deltas", ["/to/parties/deltas", "to/parties/deltas"])
def test_party_finds_files_in_other_folders_than_the_index(publisher: Publisher, of_deltas: str) -> None:
    """Below another root than the operator's, from whatever folder it works in."""
    guide = publisher.guide
    folders = {guide.full.name: "/to/parties", guide.delta.name: of_deltas}
    moved = replace(guide, all=tuple(replace(one, folder=folders.get(one.name, one.folder)) for one in guide.all))
    publisher = replace(publisher, guide=replace(moved, index=Index(INDEX, "/to/parties")))
    lodge_bodies(publisher.engine, BODIES[390:], during(8))
    (publisher.sshd.published / "deltas").mkdir()
    publisher.publish(publisher.guide.delta, day(8), "deltas")
    publisher.publish_index()
    wish = Wish(load_signers([publisher.folder / "signer.pem"]))
    applied = synchronise(publisher.sshd.site, publisher.folder / "copy.sqlite", wish)
    assert [one.name for one in applied] == [FULL, DELTA]
    assert applied[-1].in_use == publisher.state(day(8))


def test_copy_goes_on_by_a_later_full_extract_where_a_delta_will_not_come(publisher: Publisher) -> None:
    published, guide, copy = publisher.sshd.published, publisher.guide, publisher.folder / "copy.sqlite"
    signers = load_signers([publisher.folder / "signer.pem"])
    plans: list[Plan] = []

    def sync() -> list[str]:
        return [one.name for one in synchronise(publisher.sshd.site, copy, Wish(signers), Listener(plans.append))]

    def corrections() -> list[dict[str, str | None]]:
        publisher.publish_index()
        index = json.loads((published / "SMKIKR_INDEX.json").read_bytes())
        Draft202012Validator(json.loads((INCLUDE / "schema" / "index-1.json").read_bytes())).validate(index)
        page = html.fromstring((published / "SMKIKR_INDEX.html").read_bytes()).text_content()
        for one in index["corrections"]:
            assert f"{one['missing']} is not offered." in page
        found: list[dict[str, str | None]] = index["corrections"]
        return found

    lodge_bodies(publisher.engine, BODIES[390:392], during(8))
    publisher.publish(guide.delta, day(8))
    assert corrections() == []
    assert sync() == [FULL, DELTA]
    lodge_bodies(publisher.engine, BODIES[392:394], during(9))  # whose delta a person rejects
    lodge_bodies(publisher.engine, BODIES[394:396], during(10))
    publisher.publish(guide.delta, day(10))
    missing = {"missing": f"SMKIKR_DELT_{day(9)}.xml.gz", "business_date": str(day(9))}
    assert corrections() == [missing | {"by": None}]
    with pytest.raises(SyncRefusedError) as stopped:
        sync()
    assert (stopped.value.refusal, plans[-1].reaches, plans[-1].missing) == (Refusal.HOLE, day(8), day(9))

    full = f"SMKIKR_FULL_{day(10)}.xml.gz"
    publisher.publish(guide.full, day(10))
    assert corrections() == [missing | {"by": full}]
    lodge_bodies(publisher.engine, BODIES[396:], during(11))
    publisher.publish(guide.delta, day(11))
    publisher.publish_index()
    assert sync() == [full, f"SMKIKR_DELT_{day(11)}.xml.gz"]
    assert plans[-1].by_pages is not None
    with LocalCopy(copy, read_only=True) as opened:
        opened.check()
        assert opened.in_use == publisher.state(day(11))


def check_pages(content: bytes, table: bytes, stated: dict[str, Any]) -> None:
    """A Party cuts a file by its table, inflates each page alone, and finds the SHA-256 that the table states."""
    first, _, rows = table.partition(b"\n")
    facts = json.loads(first)
    pages = np.frombuffer(
        rows, [("number", "<i8"), ("deflate_bytes", "<u4"), ("records", "<u4"), ("xml_sha256", "V32")]
    )
    assert len(pages) == facts["pages"] == 4
    assert pages["records"].sum() == stated["records"]
    at, xml = facts["opening_bytes"], facts["head"].encode()
    digest = hashlib.sha256(hashlib.sha256(xml).digest())
    for row in pages:
        page = zlib.decompressobj(-15).decompress(content[at : at + int(row["deflate_bytes"])])
        assert hashlib.sha256(page).digest() == row["xml_sha256"].tobytes()
        digest.update(row["xml_sha256"].tobytes())
        xml, at = xml + page, at + int(row["deflate_bytes"])
    digest.update(hashlib.sha256(facts["tail"].encode()).digest())
    assert digest.hexdigest() == stated["content_digest"]
    assert gzip.decompress(content) == xml + facts["tail"].encode()


def test_index_is_published_without_the_page_table_that_a_lost_store_had(publisher: Publisher) -> None:
    publisher.publish_index()
    store = store_in(publisher.folder)
    store.remove([one.key for one in store.list_objects("manifests")])
    assert publisher.publish_index() == ["SMKIKR_INDEX.json", "SMKIKR_INDEX.json.p7s", "SMKIKR_INDEX.html"]
    published = publisher.sshd.published
    (full,) = json.loads((published / "SMKIKR_INDEX.json").read_bytes())["files"]
    assert (full["name"], full.get("pages")) == (FULL, None)
    assert not (published / f"SMKIKR_FULL_{day(7)}.pages").exists()
