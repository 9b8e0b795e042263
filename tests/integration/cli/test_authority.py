"""`smki authority` and `smki takeover`, as an operator runs them on a new repository."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import Engine

from builders import cut_off, day, during, lodge_bodies, produced, reference
from smki.certificates.names import name_in_words
from smki.obligations.catalogue import UserGuide
from smki.repository.database import libpq_url
from smki.repository.windows import close_windows, in_use_digest
from smki_demo.generator.pki import Pki
from smki_demo.generator.revocation import revocation_list

from .test_commands import as_json, run


@pytest.fixture
def environment(stranger: Engine, tmp_path: Path) -> dict[str, str]:
    return {"SMKI_DATABASE_URL": libpq_url(stranger), "SMKI_VAR": str(tmp_path / "var")}


def test_roots_are_stated_by_fingerprint_or_file_and_then_what_chains_to_them_is_lodged(
    environment: dict[str, str], pki: Pki, signed: list[bytes], tmp_path: Path
) -> None:
    offered = tmp_path / "offered"
    offered.mkdir()
    for number, body in enumerate(signed):
        (offered / f"{number:02}.der").write_bytes(body)
    assert as_json(environment, "lodge", offered, code=1)["refused"] == 46

    root = tmp_path / "root.pem"
    root.write_bytes(pki.root_dca.certificate.public_bytes(Encoding.PEM))
    fingerprint = sha256(pki.root_oca.der).digest().hex(":")
    assert as_json(environment, "authority", "trust", fingerprint.upper(), "--class", "oca")["trusted"] == 1
    assert as_json(environment, "authority", "trust", root, "--class", "DCA")["trusted"] == 1
    subject = name_in_words(pki.root_dca.certificate.subject.public_bytes())
    assert as_json(environment, "authority", "trust", root, "--class", "DCA") == {
        "trusted": 0,
        "trusted_before": 1,
        "roots": [{"sha256": sha256(pki.root_dca.der).hexdigest(), "subject": subject}],
    }
    assert subject in run(environment, "authority", "trust", root, "--class", "DCA").stdout
    lodged = as_json(environment, "lodge", offered)
    assert (lodged["lodged"], lodged["refused"]) == (46, 0)
    assert [(row["stated"], row["class"]) for row in as_json(environment, "authority", "list")] == [
        ("trusted root", "OCA"),
        ("trusted root", "DCA"),
    ]


def test_issuer_that_cannot_be_had_is_stated_by_name_or_by_what_it_issued(
    environment: dict[str, str], signed: list[bytes], tmp_path: Path
) -> None:
    organisation, device = tmp_path / "organisation.der", tmp_path / "device.der"
    organisation.write_bytes(signed[10])
    device.write_bytes(signed[-1])
    run(environment, "lodge", organisation, device, code=1)
    name = name_in_words(reference(signed[10]).issuer or b"")
    stated = as_json(environment, "authority", "unchecked", name, "--class", "OCA", "--reason", "lost")
    assert stated == {"stated": 1, "stated_before": 0}
    as_json(environment, "authority", "unchecked", device, "--class", "DCA", "--reason", "not published")
    assert as_json(environment, "lodge", organisation, device)["lodged"] == 2
    assert {row["reason"] for row in as_json(environment, "authority", "list")} == {"lost", "not published"}


def test_only_a_file_of_one_authority_and_nothing_else_is_trusted(
    environment: dict[str, str], pki: Pki, signed: list[bytes], tmp_path: Path
) -> None:
    pem = pki.root_oca.certificate.public_bytes(Encoding.PEM)
    now = datetime.now(UTC).replace(microsecond=0)
    contents = {
        "text": (b"a root, as it were", "no certificate"),
        "two": (pem + pki.root_dca.certificate.public_bytes(Encoding.PEM), "more than one"),
        "damaged": (pem + pem[:100], "no whole block"),
        "organisation": (signed[10], "ORGANISATION"),
        "list": (revocation_list(pki.issuing_oca, 1, now, now + timedelta(days=1)), "revocation list"),
        "folder/one": (pem, ""),
    }
    (tmp_path / "folder").mkdir()
    for name, (content, reason) in contents.items():
        (tmp_path / name).write_bytes(content)
        if reason:
            said = run(environment, "authority", "trust", tmp_path / name, "--class", "OCA", code=2).stderr
            assert reason in " ".join(said.split())
    run(environment, "authority", "trust", tmp_path / "folder", "--class", "OCA", code=2)
    assert as_json(environment, "authority", "list") == []


def test_issuers_of_all_certificates_in_a_file_are_stated(
    environment: dict[str, str], signed: list[bytes], tmp_path: Path
) -> None:
    (tmp_path / "both").write_bytes(signed[10] + signed[-1])
    stated = as_json(environment, "authority", "unchecked", tmp_path / "both", "--class", "OCA", "--reason", "lost")
    assert stated == {"stated": 2, "stated_before": 0}


@pytest.mark.parametrize(
    "arguments",
    [
        ("trust", "no-such-file", "--class", "OCA"),
        ("trust", "x" * 5_000, "--class", "OCA"),
        ("unchecked", "x" * 5_000, "--class", "OCA", "--reason", "lost"),
        ("trust", "00" * 32, "--class", "DEVICE"),
        ("unchecked", "no name", "--class", "OCA", "--reason", "lost"),
    ],
)
def test_what_states_no_authority_is_wrong_usage(environment: dict[str, str], arguments: tuple[str, ...]) -> None:
    run(environment, "authority", *arguments, code=2)


def test_published_files_are_taken_over_into_a_new_repository(
    environment: dict[str, str],
    repository: Engine,
    user_guide: UserGuide,
    pki: Pki,
    signed: list[bytes],
    tmp_path: Path,
) -> None:
    lodge_bodies(repository, signed[:40], during(7))
    close_windows(repository, day(7), cut_off)
    full, _ = produced(repository, user_guide.full, day(7), tmp_path)
    lodge_bodies(repository, signed[40:], during(8))
    close_windows(repository, day(8), cut_off)
    delta, _ = produced(repository, user_guide.delta, day(8), tmp_path)

    run(environment, "takeover", full, delta, code=1)
    for root, of_class in ((pki.root_oca, "OCA"), (pki.root_dca, "DCA")):
        run(environment, "authority", "trust", sha256(root.der).hexdigest(), "--class", of_class)
    taken_over = as_json(environment, "takeover", full, delta)
    assert (taken_over["windows"], taken_over["lodged"], taken_over["next_day"]) == (2, 46, str(day(9)))
    assert taken_over["in_use"] == str(in_use_digest(repository, 2))
    assert as_json(environment, "windows", "list")[0]["seq"] == 0
