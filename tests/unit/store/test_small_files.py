import gzip
import hashlib
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from conftest import Program
from smki.errors import PlanError, StoreError
from smki.store.gzip_writer import write_single
from smki.verify.faults import Fault, FaultError
from smki.verify.frame import read_single

AT = datetime(2026, 7, 1, 12, 30, tzinfo=UTC)
CONTENT = b"a revocation list " * 50


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "SMKIKR_ORGANISATION_CRL.crl.gz"


def test_file_is_one_gzip_member_with_name_and_time_of_its_content(file: Path) -> None:
    facts = write_single(file, CONTENT, AT)
    member = file.read_bytes()
    assert (facts.bytes, facts.sha256) == (len(member), hashlib.sha256(member).hexdigest())
    assert (facts.content_bytes, facts.content_digest) == (len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    assert member[10:].startswith(b"SMKIKR_ORGANISATION_CRL.crl\0")
    with gzip.open(file) as stream:
        assert stream.read() == CONTENT
        assert stream.mtime == AT.timestamp()
    assert read_single(file) == CONTENT


@pytest.mark.parametrize("command", ["gzip -t", "pigz -t", "7z t"])
def test_every_gzip_there_is_reads_a_small_file(program: Program, file: Path, command: str) -> None:
    write_single(file, CONTENT, AT)
    name, *arguments = command.split()
    subprocess.run([program(name), *arguments, str(file)], check=True, capture_output=True)


@pytest.mark.parametrize("content", [b"", b"x", CONTENT])
def test_same_content_gives_the_same_bytes(file: Path, content: bytes) -> None:
    first = write_single(file, content, AT)
    member = file.read_bytes()
    assert (write_single(file, content, AT), file.read_bytes()) == (first, member)
    assert read_single(file) == content


def test_name_without_gz_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError):
        write_single(tmp_path / "list.crl", CONTENT, AT)


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], Fault]] = {
    "cut off": (lambda member: member[:-1], Fault.GZIP),
    "a byte after it": (lambda member: member + b"\0", Fault.GZIP),
    "second member": (lambda member: member + member, Fault.GZIP),
    "another bit": (lambda member: member[:60] + bytes([member[60] ^ 0x55]) + member[61:], Fault.GZIP),
    "another CRC-32": (lambda member: member[:-8] + bytes(4) + member[-4:], Fault.GZIP),
    "another name inside": (lambda member: member.replace(b"CRL.crl", b"ARL.crl"), Fault.NAME),
    "no gzip at all": (lambda _: b"no gzip at all", Fault.GZIP),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_small_file_that_is_not_whole_is_refused(file: Path, damage: str) -> None:
    change, fault = DAMAGES[damage]
    write_single(file, CONTENT, AT)
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(FaultError) as caught:
        read_single(file)
    assert (caught.value.fault, caught.value.item) == (fault, file.name)


def test_small_file_that_is_gone_is_the_disks_error(file: Path) -> None:
    with pytest.raises(StoreError):
        read_single(file)
