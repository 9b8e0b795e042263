import gzip
import hashlib
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from conftest import Program
from smki.errors import PlanError, StagingError, VerificationError
from smki.store.single_file import write_single
from smki.verify.single_file import read_single

AT = datetime(2026, 7, 1, 12, 30, tzinfo=UTC)
CONTENT = b"a revocation list " * 50


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "SMKIKR_ORGANISATION_CRL.crl.gz"


def test_file_is_one_gzip_member_with_name_and_time_of_its_content(file: Path) -> None:
    facts = write_single(file, CONTENT, AT)
    octets = file.read_bytes()
    assert (facts.bytes, facts.sha256) == (len(octets), hashlib.sha256(octets).hexdigest())
    assert (facts.content_bytes, facts.content_digest) == (len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    assert octets[10:].startswith(b"SMKIKR_ORGANISATION_CRL.crl\0")
    with gzip.open(file) as stream:
        assert stream.read() == CONTENT
        assert stream.mtime == AT.timestamp()
    assert read_single(file) == CONTENT


@pytest.mark.parametrize("command", ["gzip -t", "pigz -t", "7z t"])
def test_every_gzip_there_is_reads_a_single_file(program: Program, file: Path, command: str) -> None:
    write_single(file, CONTENT, AT)
    name, *arguments = command.split()
    subprocess.run([program(name), *arguments, str(file)], check=True, capture_output=True)


@pytest.mark.parametrize("content", [b"", b"x", CONTENT])
def test_same_content_gives_the_same_octets(file: Path, content: bytes) -> None:
    first = write_single(file, content, AT)
    octets = file.read_bytes()
    assert (write_single(file, content, AT), file.read_bytes()) == (first, octets)
    assert read_single(file) == content


def test_name_without_gz_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"wants a \.gz file"):
        write_single(tmp_path / "list.crl", CONTENT, AT)


def damaged(octets: bytes) -> bytes:
    return octets[:60] + bytes([octets[60] ^ 0x55]) + octets[61:]


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda octets: octets[:-1], "ends in the middle"),
        (lambda octets: octets + b"\0", "1 octets follow"),
        (lambda octets: octets + octets, "octets follow its one gzip member"),
        (damaged, "damaged"),
        (lambda octets: octets[:-8] + bytes(4) + octets[-4:], "damaged"),
        (lambda octets: octets.replace(b"CRL.crl", b"ARL.crl"), "the name inside"),
        (lambda _: b"no gzip at all", "does not start with a gzip header"),
    ],
)
def test_single_file_that_is_not_whole_is_refused(file: Path, break_it, says: str) -> None:
    write_single(file, CONTENT, AT)
    file.write_bytes(break_it(file.read_bytes()))
    with pytest.raises(VerificationError, match=says):
        read_single(file)


def test_single_file_that_is_gone_is_the_disks_error(file: Path) -> None:
    with pytest.raises(StagingError):
        read_single(file)
