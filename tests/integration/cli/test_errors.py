"""Exit codes and messages of the commands: 1 data, 2 usage, 3 setting, 4 transport, 70 a mistake in the program."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer
from click.testing import Result
from sqlalchemy import Engine
from typer.testing import CliRunner

from builders import (
    XML_NAME,
    assembled,
    cut_off,
    day,
    document,
    during,
    lodge_bodies,
    look_alikes,
    record_of,
    rendered,
    zipped,
)
from smki.cli.application import app
from smki.cli.exit_codes import Commands
from smki.kinds.extracts.rendering import render_head, render_tail
from smki.repository.database import libpq_url
from smki.repository.windows import close_windows
from smki.store.manifest import manifest_path
from smki_demo.generator.pki import Pki
from smki_demo.generator.revocation import revocation_list

TOMORROW = "2999-01-01"
ENDLESS = "x" * 5_000  # longer than a file's name can be
BEYOND = 10**20  # what PostgreSQL counts


def run(engine: Engine | None, *arguments: object, **environment: str) -> Result:
    names = ("SMKI_VAR", "SMKI_CONFIG", "SMKI_ANNEX_B_XSD", "SMKI_DATABASE_URL")
    settings: dict[str, str | None] = dict.fromkeys(names) | {"COLUMNS": "300"} | environment
    if engine is not None:
        settings["SMKI_DATABASE_URL"] = libpq_url(engine)
    result = CliRunner().invoke(app, list(map(str, arguments)), env=settings)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture(autouse=True)
def store(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the test's own, beside the folders that it looks into."""
    monkeypatch.setenv("SMKI_STORE", str(tmp_path_factory.mktemp("store")))


@pytest.fixture
def filled(repository: Engine) -> Engine:
    lodge_bodies(repository, look_alikes(3), during(2))
    close_windows(repository, day(2), cut_off)
    return repository


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["windows", "close", "--to", "tomorrow"], 2, "no date of the form YYYY-MM-DD"),
        (["windows", "close", "--to", "2025-02-30"], 2, "no date of the form YYYY-MM-DD"),
        (["windows", "close"], 2, "--to"),
        (["windows", "close", "--to", TOMORROW], 1, "has not come"),
        (["windows", "close", "--to", day(1)], 1, "NotOwedError"),
        (["produce", "delta", "--date", "1.6.2025"], 2, "no date of the form"),
        (["produce", "delta", "--date", TOMORROW], 1, "has not come"),
        (["produce", "delta", "--date", day(3), "--dry-run"], 1, "needs a closed window"),
        (["produce", "full", "--date", day(2)], 2, "--any-day"),
        (["produce", "weekly", "--date", day(2)], 2, "weekly"),
        (["produce", "crl", "--date", day(2)], 2, "no extract"),
        (["gate", "judge", __file__, "--kind", "weekly"], 2, "weekly"),
        (["gate", "judge", __file__, "--report", "/nowhere/report.html"], 2, "/nowhere"),
        (["gate", "judge", __file__, "--report", "/tmp"], 2, "/tmp"),  # a folder
        (["gate", "show", 1, "--report", ENDLESS], 2, "no file"),
        (["gate", "show", 1, "--report", f"{ENDLESS}/report.html"], 2, "no file"),
        (["gate", "show", BEYOND], 2, "number"),
        (["gate", "history", "--limit", BEYOND], 2, "--limit"),
        (["store", "list", "--limit", BEYOND], 2, "--limit"),
        (["produce", "full", "--date", day(7), "--out", ENDLESS], 2, "--out"),
        (["produce", "full", "--date", day(7), "--workers", 0], 2, "workers"),
        (["verify", "gone.xml.gz"], 2, "gone.xml.gz"),
        (["verify", "/"], 2, "is a directory"),
        (["verify"], 2, "Missing argument"),
        (["lodge", "gone.der"], 2, "gone.der"),
        (["lodge", ".", "--status", "X"], 2, "status"),
        (["certificate", "set-status", "R", "0102", "--reason", "x"], 1, "certificate 0102"),
        (["certificate", "set-status", "R", "xyz", "--reason", "x"], 2, "no serial number in hex"),
        (["certificate", "set-status", "R", "05-4A-", "--reason", "x"], 2, "no serial number in hex"),
        (["certificate", "set-status", "R", "00", "--reason", "x"], 2, "no serial number in hex"),
        (["certificate", "set-status", "R", "4A", "--decimal", "--reason", "x"], 2, "no serial number in decimal"),
        (
            ["certificate", "set-status", "R", "0102", "--issuer", "OCA7", "--reason", "x"],
            1,
            "no issuers are called so",
        ),
        (["certificate", "set-status", "R", "0102", "--issuer", "CN", "--reason", "x"], 1, "no issuers are called so"),
        (["certificate", "set-status", "R", "0102", "--issuer", "CNN=OCA1", "--reason", "x"], 2, "states no name"),
        (["certificate", "set-status", "Q", "0102", "--reason", "x"], 2, "STATUS"),
        (["certificate", "set-status", "R", "0102"], 2, "--reason"),
        (["status", "set", "R", "0102", "--reason", "x"], 2, "smki certificate set-status"),
        (["status", "expire"], 2, "smki certificate expire"),
        (["status", "--jsn"], 2, "--jsn"),
        (["no-such-command"], 2, "No such command"),
    ],
)
def test_error_has_its_exit_code_and_says_what_is_wrong(
    filled: Engine, tmp_path: Path, arguments: list[object], code: int, message: str
) -> None:
    result = run(filled, *arguments, SMKI_VAR=str(tmp_path))
    assert (result.exit_code, result.stdout) == (code, "")
    assert message in result.stderr
    assert code == 2 or "Next:" in result.stderr


def test_error_in_json_has_its_four_parts(filled: Engine) -> None:
    result = run(filled, "windows", "close", "--to", TOMORROW, "--json")
    error = json.loads(result.stdout)
    assert result.exit_code == 1
    assert set(error) == {"error", "item", "rule", "consequence", "next_step"}
    assert (error["error"], error["item"]) == ("WindowError", f"window of {TOMORROW}")


def test_nothing_is_written_where_nothing_is_due(filled: Engine, tmp_path: Path) -> None:
    run(filled, "produce", "full", "--date", day(2), "--out", tmp_path)
    run(filled, "produce", "full", "--date", TOMORROW, "--any-day", "--out", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_dry_run_says_what_would_be_produced_and_writes_nothing(filled: Engine, tmp_path: Path) -> None:
    result = run(filled, "produce", "delta", "--date", day(2), "--out", tmp_path, "--dry-run", "--json")
    assert json.loads(result.stdout) == {"file": f"SMKIKR_DELT_{day(2)}.xml.gz", "window": 1, "segments to render": 1}
    assert list(tmp_path.iterdir()) == []


def test_wrong_usage_in_json_names_the_command_and_what_is_wrong() -> None:
    result = run(None, "windows", "close", "--to", "tomorrow", "--json")
    error = json.loads(result.stdout)
    assert (result.exit_code, error["error"], result.stderr) == (2, "WrongUsageError", "")
    assert error["item"].endswith("windows close")
    assert "YYYY-MM-DD" in error["rule"]


@pytest.mark.parametrize("command", [[], ["produce"], ["gate", "judge"]])
def test_every_command_has_its_help_under_either_name(command: list[str]) -> None:
    short, long = (run(None, *command, option) for option in ("-h", "--help"))
    assert (short.exit_code, "Usage:" in short.stdout, short.stdout) == (0, True, long.stdout)


def test_version_names_release_and_schema() -> None:
    result = run(None, "--version")
    assert (result.exit_code, result.stdout.split()[0], "schema 00" in result.stdout) == (0, "smki", True)


def test_help_names_the_exit_codes() -> None:
    assert "3 a setting has to be changed" in " ".join(run(None, "--help").stdout.split())


@pytest.mark.parametrize("name", ["x [bold].xml.gz", "x[/y].xml.gz"])
def test_name_with_brackets_is_shown_as_it_is(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"no gzip")
    result = run(None, "verify", tmp_path / name)
    assert result.exit_code == 1
    assert Path(name).name in result.stderr


def test_full_of_any_day_is_produced_for_recovery(filled: Engine, tmp_path: Path) -> None:
    result = run(filled, "produce", "full", "--date", day(2), "--any-day", "--out", tmp_path, "--workers", 1)
    assert result.exit_code == 0
    assert (tmp_path / f"SMKIKR_FULL_{day(2)}.xml.gz").exists()


def test_every_file_is_looked_at_and_those_that_fail_are_named(tmp_path: Path) -> None:
    good = zipped(tmp_path, document([record_of(look_alikes(1)[0])]))
    bad = [
        zipped(tmp_path, xml, f"SMKIKR_DELT_2025-06-0{number}.xml.gz")
        for number, xml in enumerate([b"<Other/>", b""], 3)
    ]
    result = run(None, "verify", bad[0], good, bad[1])
    assert result.exit_code == 1
    assert "as it should be" in result.stdout
    assert all(file.name in result.stderr for file in bad)
    said = run(None, "verify", bad[0], good, bad[1], "--json")
    assert said.exit_code == 1
    verdicts = [(one["file"], "error" in one) for one in json.loads(said.stdout)]
    assert verdicts == [(bad[0].name, True), (good.name, False), (bad[1].name, True)]


def test_damaged_manifest_is_a_data_error(tmp_path: Path) -> None:
    file = zipped(tmp_path, document([]))
    manifest_path(file).write_text("{")
    result = run(None, "verify", file)
    assert (result.exit_code, "manifest cannot be read" in result.stderr) == (1, True)


def test_damaged_file_beside_its_manifest_is_wrong_and_no_trouble_of_the_storage(tmp_path: Path) -> None:
    file, manifest = assembled(tmp_path, [render_head(XML_NAME), rendered(look_alikes(3)), render_tail()])
    content = bytearray(file.read_bytes())
    content[int(manifest.offsets[0]) + 20] ^= 1
    file.write_bytes(content)
    result = run(None, "verify", file, "--workers", 1)
    assert (result.exit_code, "SMKI_STORE" in result.stderr) == (1, False)


def test_wrong_settings_have_exit_code_3(filled: Engine, tmp_path: Path) -> None:
    file = zipped(tmp_path, document([]))
    assert run(None, "verify", file, SMKI_ANNEX_B_XSD=str(tmp_path / "gone.xsd")).exit_code == 3
    assert run(filled, "windows", "close", "--to", day(3), SMKI_CONFIG=str(tmp_path)).exit_code == 3


@pytest.mark.parametrize("url", ["nonsense", "postgresql://u:secret@h:port/d"])
def test_dsn_that_is_none_is_refused_without_showing_its_password(url: str) -> None:
    result = run(None, "windows", "list", SMKI_DATABASE_URL=url)
    assert (result.exit_code, "SMKI_DATABASE_URL" in result.stderr) == (3, True)
    assert "secret" not in result.output


def test_repository_that_nobody_named_is_refused_and_nothing_is_made(tmp_path: Path) -> None:
    for arguments in (["windows", "list"], ["init"], ["status"]):
        result = run(None, *arguments, "--json", SMKI_VAR=str(tmp_path / "var"))
        error = json.loads(result.stdout)
        assert (result.exit_code, error["error"], error["item"]) == (3, "ConfigurationError", "SMKI_DATABASE_URL")
        assert "--embedded" in error["next_step"]
    assert list(tmp_path.iterdir()) == []


def test_server_that_is_not_there_has_exit_code_4(tmp_path: Path) -> None:
    result = run(None, "windows", "list", SMKI_DATABASE_URL=f"postgresql://postgres@/smki?host={tmp_path}")
    assert (result.exit_code, "check that the server runs" in result.stderr) == (4, True)


def test_disk_that_is_full_has_exit_code_4(filled: Engine, tmp_path: Path) -> None:
    (tmp_path / f".SMKIKR_DELT_{day(2)}.xml.gz.part").symlink_to("/dev/full")
    result = run(filled, "produce", "delta", "--date", day(2), "--out", tmp_path, "--workers", 1)
    assert (result.exit_code, "No space left on device" in result.stderr) == (4, True)


def test_folder_that_cannot_be_made_is_a_setting_to_change(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = run(None, "--embedded", "windows", "list", "--json", SMKI_VAR=str(tmp_path / "file" / "var"))
    assert (result.exit_code, json.loads(result.stdout)["error"]) == (3, "ConfigurationError")
    assert "SMKI_VAR" in json.loads(result.stdout)["next_step"]


@pytest.fixture
def mistaken() -> typer.Typer:
    """An application with a mistake in one of its commands."""
    application = typer.Typer(cls=Commands)

    @application.command()
    def fail(json_: bool = typer.Option(False, "--json")) -> None:
        raise KeyError(json_)

    @application.command()
    def other() -> None: ...

    return application


@pytest.mark.parametrize("as_json", [False, True])
def test_error_that_nobody_foresaw_is_no_statement_about_the_data(
    mistaken: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    result = CliRunner().invoke(mistaken, ["fail", *(["--json"] if as_json else [])])
    (report,) = tmp_path.glob("smki-*.traceback")
    assert result.exit_code == 70
    assert "KeyError" in report.read_text()
    if as_json:
        assert set(error := json.loads(result.stdout)) == {"error", "item", "rule", "consequence", "next_step"}
        assert (error["error"], error["item"]) == ("UnforeseenError", "KeyError")
        assert str(report) in error["next_step"]
    else:
        assert str(report) in result.stderr.replace("\n", "")
        assert "Traceback" not in result.stderr


def test_error_that_nobody_foresaw_is_reported_where_no_file_can_be_written(
    mistaken: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    result = CliRunner().invoke(mistaken, ["fail", "--json"])
    assert (result.exit_code, json.loads(result.stdout)["item"]) == (70, "KeyError")
    assert "Traceback" in result.stderr


def test_rejected_names_the_file_of_its_reason_and_says_what_was_lodged_since(
    repository: Engine, signed: list[bytes], tmp_path: Path
) -> None:
    whole = document([record_of(body) for body in signed[:5]])
    (tmp_path / "monday.xml").write_bytes(whole[:-300])
    (tmp_path / "tuesday.xml").write_bytes(
        whole.replace(b"</CertificateDataResponse>", b"<oops></CertificateDataResponse>")
    )
    for name in ("monday", "tuesday"):
        assert run(repository, "lodge", tmp_path / f"{name}.xml").exit_code == 1
    rows = json.loads(run(repository, "rejected", "--json").stdout)
    for row in rows:
        assert Path(row["origin"].split(" ")[0]).stem in row["reason"]
        assert not row["lodged_since"]


def test_what_was_rejected_and_lodged_since_says_so(
    repository: Engine, pki: Pki, signed: list[bytes], tmp_path: Path
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    (tmp_path / "crl.der").write_bytes(revocation_list(pki.issuing_oca, 1, now, now + timedelta(days=1)))
    assert run(repository, "lodge", tmp_path).exit_code == 1  # its issuer is not lodged
    lodge_bodies(repository, signed[:8])
    assert run(repository, "lodge", tmp_path).exit_code == 0
    (row,) = json.loads(run(repository, "rejected", "--json").stdout)
    assert row["lodged_since"]
