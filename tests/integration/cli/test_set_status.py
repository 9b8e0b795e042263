"""The command that revokes in an emergency takes serial numbers and issuers as people have them before their eyes."""

import json
from pathlib import Path

import pytest
import typer
from sqlalchemy import Engine, select, update
from typer.testing import CliRunner

from builders import lodge_bodies, reference
from smki.cli.application import app
from smki.cli.terminal import parse_serial_number
from smki.repository.database import libpq_url
from smki.repository.tables import certificate


@pytest.mark.parametrize(
    "shown",
    [
        "054A",
        "54A",
        "054a",
        "05:4A",
        "05:4a",
        "0x54A",
        "0X054A",
        "05 4a",
        " 054A\n",
        "00:00:05:4A",
        "05-4A",
        "serial=054A",
        "\u200e054a",  # a window of Windows puts a mark before it
    ],
)
def test_serial_number_is_read_however_it_is_spelled(shown: str) -> None:
    assert parse_serial_number(shown) == b"\x05\x4a"


def test_decimal_serial_number_is_read_where_it_is_said_to_be_one() -> None:
    assert parse_serial_number("1354", decimal=True) == b"\x05\x4a"
    assert parse_serial_number("1354") == b"\x13\x54"


@pytest.mark.parametrize(
    ("shown", "decimal"),
    [
        ("", False),
        ("0x", False),
        ("-5", False),
        ("05:4G", False),
        ("00", False),
        ("4A", True),
        ("-5", True),
        ("0", True),
    ],
)
def test_what_is_no_serial_number_is_a_usage_error(shown: str, decimal: bool) -> None:
    with pytest.raises(typer.BadParameter):
        parse_serial_number(shown, decimal=decimal)


@pytest.mark.parametrize("issuer", ["OCA1", "oca1", "CN=OCA1,OU=07", "OU = 07, CN = OCA1"])
def test_one_serial_number_of_two_issuers_is_revoked_by_issuer(
    repository: Engine, signed: list[bytes], tmp_path: Path, issuer: str
) -> None:
    lodge_bodies(repository, signed)
    organisation, serial = signed[4], reference(signed[4]).serial_number
    with repository.begin() as connection:  # as two issuers that number from 1 would have it
        connection.execute(update(certificate).where(certificate.c.id == 1).values(serial_number=serial))
    environment = {"SMKI_DATABASE_URL": libpq_url(repository), "SMKI_VAR": str(tmp_path)}

    def revoke(*options: str) -> tuple[int, dict[str, object]]:
        arguments = ["certificate", "set-status", "R", serial.hex(":"), "--reason", "key lost", "--json", *options]
        result = CliRunner().invoke(app, arguments, env=environment)
        return result.exit_code, json.loads(result.stdout)

    code, error = revoke()
    assert (code, error["error"]) == (1, "UnknownCertificateError")
    assert revoke("--issuer", issuer) == (0, {"changed": 1, "unchanged": 0})
    with repository.connect() as connection:
        revoked = connection.execute(select(certificate.c.body).where(certificate.c.status == "R")).scalars().all()
    assert revoked == [organisation]
