"""`smki lodge` of lists, and `smki revocation`."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import pem
from sqlalchemy import Engine
from typer.testing import CliRunner

from builders import reference
from smki.cli.application import app
from smki.repository.database import libpq_url
from smki_demo.generator.pki import Pki
from smki_demo.generator.revocation import ARL_VALIDITY, CRL_VALIDITY, Revoked, issue_lists, revocation_list

from .lists import HOUR, ORGANISATION, OTHER, Lister, offer, status_of


@pytest.fixture
def smki(stored: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    monkeypatch.setenv("SMKI_DATABASE_URL", libpq_url(stored))
    monkeypatch.setenv("SMKI_VAR", str(tmp_path / "var"))

    def run(*arguments: str, exit_code: int = 0) -> Any:
        result = CliRunner().invoke(app, [*arguments, "--json"])
        assert result.exit_code == exit_code, result.output
        return json.loads(result.stdout)

    return run


def test_lodge_takes_lists_beside_certificates_as_der_and_pem(
    smki: Callable[..., Any], stored: Engine, pki: Pki, signed: list[bytes], tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    arls, crls = Lister(pki.root_oca, ARL_VALIDITY), Lister(pki.issuing_oca)
    folder = tmp_path / "to lodge"
    folder.mkdir()
    (folder / "a.crl").write_bytes(crls.next(signed[ORGANISATION], at=now))
    (folder / "b.pem").write_bytes(pem.armor("CERTIFICATE", signed[OTHER]) + pem.armor("X509 CRL", arls.next(at=now)))
    (folder / "c.crl").write_bytes(crls.next(signed[ORGANISATION], at=now))
    result = smki("lodge", str(folder))
    assert (result["lodged"], result["already_there"], result["refused"]) == (0, 1, 0)
    outline = [(entry["list"][:5], entry["revoked"], entry["revoked_before"]) for entry in result["revocation_lists"]]
    assert outline == [("CRL 1", 1, 0), ("ARL 1", 0, 0), ("CRL 2", 0, 1)]
    assert status_of(stored, signed[ORGANISATION]) == "R"
    again = smki("lodge", str(folder))["revocation_lists"]
    assert [entry["already_there"] for entry in again] == [True] * 3
    assert {*map(frozenset, again)} == {*map(frozenset, result["revocation_lists"])}, "the same keys of every list"


def test_list_of_more_than_a_mebibyte_is_lodged_as_der(
    smki: Callable[..., Any], pki: Pki, signed: list[bytes], tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    entries = [Revoked(number.to_bytes(20), now) for number in range(1 << 158, (1 << 158) + 28_000)]
    entries.append(Revoked(reference(signed[ORGANISATION]).serial_number, now))
    body = revocation_list(pki.issuing_oca, 1, now, now + CRL_VALIDITY, entries)
    assert len(body) > 1 << 20
    (tmp_path / "large.crl").write_bytes(body)
    result = smki("lodge", str(tmp_path / "large.crl"))["revocation_lists"]
    assert [(one["entries"], one["revoked"], len(one["not_lodged"])) for one in result] == [(28_001, 1, 28_000)]
    (tmp_path / "cut.crl").write_bytes(body[:-1])
    assert smki("lodge", str(tmp_path / "cut.crl"), exit_code=1)["refusals"][0]["error"] == "RevocationListRefusedError"


def test_lodge_of_a_refused_list_ends_with_exit_code_1(smki: Callable[..., Any], pki: Pki, tmp_path: Path) -> None:
    (tmp_path / "old.crl").write_bytes(Lister(pki.issuing_oca).next(at=datetime(2025, 1, 1, tzinfo=UTC)))
    result = smki("lodge", str(tmp_path / "old.crl"), exit_code=1)
    assert result["refusals"][0]["error"] == "RevocationListRefusedError"
    assert "nextUpdate" in smki("rejected")[0]["reason"]


def test_revocation_list_says_which_list_has_no_successor(smki: Callable[..., Any], stored: Engine, pki: Pki) -> None:
    now = datetime.now(UTC)
    issue_lists(stored, pki, now)
    assert [entry["successor_missing"] for entry in smki("revocation", "list")] == [False, False]
    short = revocation_list(pki.issuing_oca, 2, now, now + HOUR)
    offer(stored, short, now=now)
    listed = {entry["kind"]: entry["successor_missing"] for entry in smki("revocation", "list")}
    assert listed == {"ARL": False, "CRL": True}
    assert len(smki("revocation", "list", "--all")) == 3
    shown = CliRunner().invoke(app, ["revocation", "list"])
    assert "warning" in shown.stderr
    assert "CRL 2 of" in shown.stderr


def test_revocation_produce_writes_both_files(
    smki: Callable[..., Any], stored: Engine, pki: Pki, tmp_path: Path
) -> None:
    assert smki("revocation", "produce", "--out", str(tmp_path), exit_code=1)["error"] == "PlanError"
    issue_lists(stored, pki, datetime.now(UTC))
    files = [entry["file"] for entry in smki("revocation", "produce", "--out", str(tmp_path))]
    assert files == ["SMKIKR_ORGANISATION_ARL.crl.gz", "SMKIKR_ORGANISATION_CRL.crl.gz"]
    assert all((tmp_path / file).exists() for file in files)
