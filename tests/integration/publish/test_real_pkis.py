"""PKIs of others go all the way: lodged, closed, produced, judged, published on a real server, read back by a Party."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from builders import XSD, Nameless, contents_of, cut_off, day, during, have_not_issuers, lodge_bodies, trust
from smki.certificates.model import CertificateClass
from smki.certificates.reading import read_certificate
from smki.certificates.set_digest import SetDigest
from smki.gate.ledger import record_judgement
from smki.gate.model import Judgement
from smki.obligations.catalogue import UserGuide
from smki.publish.artefact import Artefact
from smki.publish.ledger import publish_artefact
from smki.publish.site import Site
from smki.repository.database import libpq_url
from smki.repository.windows import close_windows
from smki.store.content import stored_content
from smki.store.objects import Store
from smki_demo.reading_back import CheckedState, check_against_repository, fetch_extracts

from ..cli.test_commands import as_json
from .conftest import OpenSshServer

SUNDAY = day(7)  # in June 2025, when all of the real certificates are valid
LATER_SUNDAY = date(2026, 1, 11)  # the last of Z1's Organisation Certificates ended two days before


@dataclass(frozen=True)
class Installation:
    """A repository and a site, worked by the command line."""

    engine: Engine
    guide: UserGuide
    site: Site
    folder: Path

    def smki(self, *arguments: object) -> Any:
        return as_json({"SMKI_DATABASE_URL": libpq_url(self.engine), "SMKI_VAR": str(self.folder / "var")}, *arguments)

    def publish(self, extract: str, business_date: date) -> dict[str, Any]:
        """Produces an extract, has it judged and publishes it; returns what the gate said."""
        out = self.folder / "out"
        made = self.smki("produce", extract, "--date", business_date, "--out", out)
        file = out / made["file"]
        judged: dict[str, Any] = self.smki("gate", "judge", file)
        stated = {key: value for key, value in judged.items() if key not in ("verdict", "decision")}
        record_judgement(self.engine, Judgement.from_json(stated))
        artefact = Artefact(
            obligation=extract,
            name=file.name,
            business_date=business_date,
            window_seq=made["window"],
            bytes=made["bytes"],
            sha256=made["SHA-256"],
            content_digest=made["content digest"],
            xml_bytes=made["XML bytes"],
            records=made["records"],
            set_digest=SetDigest.parse(made["set digest"]),
            run="test",
            verified_at=datetime.now(UTC),
            manifest=made["manifest"],
        )
        content = stored_content(Store.folder(self.folder / "var" / "store"), file.name, "", artefact.manifest)
        publish_artefact(self.engine, self.site, artefact, content, "test", lambda _done, _of: None)
        return judged

    def read_back(self) -> tuple[list[Path], list[list[CheckedState]]]:
        """The files as a Party gets them, right by `smki verify`, and the states that they lead to."""
        offered = fetch_extracts(self.site, self.guide, XSD, self.folder / "party")
        files = [file.local for file in offered]
        assert {said["verdict"] for said in self.smki("verify", *files)} == {"as it should be"}
        return files, check_against_repository(self.engine, self.guide, offered)


@pytest.fixture
def installation(stranger: Engine, user_guide: UserGuide, sshd: OpenSshServer, tmp_path: Path) -> Installation:
    return Installation(stranger, user_guide, sshd.site, tmp_path)


def test_real_certificates_whose_issuers_cannot_be_had_are_published(
    installation: Installation, real_certificates: dict[str, bytes]
) -> None:
    bodies = list(real_certificates.values())
    assert lodge_bodies(installation.engine, bodies, during(7)).refused == len(bodies)
    counts = have_not_issuers(installation.engine, bodies)
    assert lodge_bodies(installation.engine, bodies, during(7)).lodged == len(bodies)
    for extract in ("delta", "full"):
        judged = installation.publish(extract, SUNDAY)
        assert judged["verdict"] == "PASS"
        # One an issuer, however many spellings its name has.
        assert sorted(int(remark.split()[0]) for remark in judged["remarks"]) == sorted(counts.values())
    files, (states,) = installation.read_back()
    assert [contents_of(file) for file in files] == [dict.fromkeys(bodies, "I")] * 2
    assert [state.in_use for state in states] == [len(bodies)]


def test_real_certificates_that_have_ended_leave_the_files_as_expired(
    installation: Installation, real_certificates: dict[str, bytes]
) -> None:
    bodies = list(real_certificates.values())
    have_not_issuers(installation.engine, bodies)
    lodge_bodies(installation.engine, bodies, during(7))
    ends = {body: read_certificate(body).not_after for body in bodies}
    last = max(end for end in ends.values() if end < cut_off(LATER_SUNDAY))
    close_windows(installation.engine, LATER_SUNDAY, cut_off)

    assert installation.publish("delta", last.date() + timedelta(days=1))["verdict"] == "PASS"
    assert installation.publish("full", LATER_SUNDAY)["verdict"] == "PASS"
    (full, delta), _ = installation.read_back()
    assert set(contents_of(full).values()) == {"I"}
    assert contents_of(full).keys() == {body for body, end in ends.items() if end > cut_off(LATER_SUNDAY)}
    assert contents_of(delta) == {body: "E" for body, end in ends.items() if end == last}


def test_pki_whose_names_say_nothing_is_published(installation: Installation, nameless: Nameless) -> None:
    trust(installation.engine, CertificateClass.OCA, nameless.root_oca.der)
    trust(installation.engine, CertificateClass.DCA, nameless.root_dca.der)
    bodies = [
        *nameless.authorities,
        *nameless.issued_by(nameless.first),
        *nameless.issued_by(nameless.second),
    ]
    report = lodge_bodies(installation.engine, bodies, during(7))
    assert (report.lodged, report.classes["OCA"], report.classes["DCA"]) == (len(bodies), 3, 2)
    for extract in ("delta", "full"):
        judged = installation.publish(extract, SUNDAY)
        assert (judged["verdict"], judged["remarks"]) == ("PASS", [])
    files, (states,) = installation.read_back()
    assert [contents_of(file) for file in files] == [dict.fromkeys(bodies, "I")] * 2
    assert [state.in_use for state in states] == [len(bodies)]
