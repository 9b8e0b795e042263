"""Folders that are offered: each entry is lodged or named, and stops no other."""

import os
from pathlib import Path

from asn1crypto import pem
from sqlalchemy import Engine

from builders import look_alikes

from .offering import bodies, kept, lodge_paths


def test_folder_offers_all_files_below_it_in_name_order(repository: Engine, tmp_path: Path) -> None:
    first, second, third = look_alikes(3)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x.der").write_bytes(second)
    (tmp_path / "c.bin").write_bytes(third)
    (tmp_path / "a.crt").write_bytes(first)
    assert lodge_paths(repository, tmp_path).lodged == 3
    assert bodies(repository) == [first, second, third]


def test_files_that_are_nothing_are_named_and_the_rest_is_lodged(repository: Engine, tmp_path: Path) -> None:
    (good,) = look_alikes(1)
    contents = {
        "1-empty": b"",
        "2-garbage": b"\0" + os.urandom(200).replace(b"\x1f", b"\0"),
        "3-truncated": good[:-1],
        "4-large": b"\0" * (1 << 20) + b"\0",
        "5-pem": b"-----BEGIN CERTIFICATE-----\n!!!\n",
        "6-request": pem.armor("CERTIFICATE REQUEST", b"0\0"),
        "7-good": good,
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "8-dangling").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "9-pipe")
    report = lodge_paths(repository, tmp_path)
    assert (report.lodged, report.refused) == (1, 8)
    names = list("12345689")
    assert sorted(refusal.origin.rsplit("/")[-1][0] for refusal in report.refusals) == names
    assert sorted(origin.rsplit("/")[-1][0] for origin in kept(repository)) == names


def test_link_to_a_folder_is_named_and_links_to_files_are_read(repository: Engine, tmp_path: Path) -> None:
    (good,) = look_alikes(1)
    elsewhere, inbox = tmp_path / "2026-11-27", tmp_path / "inbox"
    elsewhere.mkdir()
    inbox.mkdir()
    (elsewhere / "a.der").write_bytes(good)
    (inbox / "current").symlink_to(elsewhere)
    (refusal,) = lodge_paths(repository, inbox).refusals
    assert "link to a folder" in str(refusal.error)
    (inbox / "current").unlink()
    (inbox / "b.der").symlink_to(elsewhere / "a.der")
    assert lodge_paths(repository, inbox).lodged == 1
    (link := tmp_path / "named").symlink_to(elsewhere)
    assert lodge_paths(repository, link).already_there == 1, "one that is named itself is followed"


def test_file_that_cannot_be_read_is_named(repository: Engine, tmp_path: Path) -> None:
    (refusal,) = lodge_paths(repository, tmp_path / "gone.der").refusals
    assert "cannot be read (No such file or directory)" in str(refusal.error)


def test_file_whose_name_is_no_text_is_named_legibly(repository: Engine, tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/caf\xe9.der", "wb") as stream:  # noqa: PTH123  # a name in bytes
        stream.write(b"garbage")
    assert lodge_paths(repository, tmp_path).refused == 1
    assert list(kept(repository)) == [f"{tmp_path}/caf\\xe9.der"]
