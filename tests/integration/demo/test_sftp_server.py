"""The demo's server: the publisher publishes, a Party only reads, and neither sees more than it should."""

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from smki.errors import ConfigurationError
from smki.publish.readback import remote_sha256
from smki.publish.site import Site, open_sftp

NAME = "FULL.xml.gz"


def start(folder, port=0):
    arguments = ["--root", folder / "root", "--keys", folder / "keys", "--port", port]
    return subprocess.Popen(
        [sys.executable, "-m", "smki_demo.sftp_server", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def demo(folder):
    """The ready line of a running server."""
    with start(folder) as process:
        yield json.loads(process.stdout.readline())
        process.terminate()


def site(demo, account):
    return Site(
        name="demo",
        host=demo["host"],
        port=demo["port"],
        username=account,
        key_file=Path(demo["keys"][account]),
        host_key=demo["host_key"],
        folder="outgoing",
    )


@pytest.fixture
def published(demo, staged, publish):
    publish(site(demo, "publisher"), staged)
    return staged


@pytest.fixture
def party(demo):
    with open_sftp(site(demo, "party")) as sftp:
        yield sftp


def test_publisher_publishes(folder, published):
    assert (folder / "root" / "outgoing" / NAME).read_bytes() == published.content


def test_party_reads_what_is_published(party, published):
    assert party.listdir("/outgoing") == [NAME]
    assert remote_sha256(party, f"/outgoing/{NAME}") == published.sha256()


@pytest.mark.parametrize(
    "attempt",
    [
        lambda sftp, path: sftp.open(path, "r+b"),
        lambda sftp, path: sftp.open(path, "ab"),
        lambda sftp, _: sftp.open("/outgoing/new", "wb"),
        lambda sftp, path: sftp.remove(path),
        lambda sftp, path: sftp.rename(path, "/outgoing/new"),
        lambda sftp, path: sftp.posix_rename(path, "/outgoing/new"),
        lambda sftp, path: sftp.truncate(path, 0),
        lambda sftp, path: sftp.chmod(path, 0o600),
        lambda sftp, path: sftp.utime(path, None),
        lambda sftp, path: sftp.symlink(path, "/outgoing/new"),
        lambda sftp, _: sftp.mkdir("/new"),
        lambda sftp, _: sftp.rmdir("/outgoing"),
    ],
)
def test_party_changes_nothing(party, folder, published, attempt):
    with pytest.raises(PermissionError):
        attempt(party, f"/outgoing/{NAME}")
    assert [path.name for path in (folder / "root" / "outgoing").iterdir()] == [NAME]
    assert (folder / "root" / "outgoing" / NAME).read_bytes() == published.content


@pytest.mark.usefixtures("published")
def test_party_does_not_see_what_is_still_being_uploaded(demo, party, folder, stage, publish):
    part = "/outgoing/.DELTA.xml.gz.part"
    seen = []

    def look(_done, _total):
        assert (folder / "root" / part[1:]).exists()
        seen.append(party.listdir("/outgoing"))
        for attempt in (party.stat, party.lstat, party.open):
            with pytest.raises(FileNotFoundError):
                attempt(part)

    publish(site(demo, "publisher"), stage(seed=2), name="DELTA.xml.gz", progress=look)
    assert seen == [[NAME], [NAME]]
    assert sorted(party.listdir("/outgoing")) == ["DELTA.xml.gz", NAME]
    (folder / "root" / "outgoing" / "DELTA.xml.gz").unlink()


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize("account", ["publisher", "party"])
def test_nobody_leaves_the_root(demo, account):
    with open_sftp(site(demo, account)) as sftp:
        assert sftp.listdir("/../..") == ["outgoing"]
        with pytest.raises(FileNotFoundError):
            sftp.stat("/../../etc/passwd")


def test_keys_are_kept_and_readable_for_their_owner_only(demo, folder):
    with start(folder) as second:
        ready = json.loads(second.stdout.readline())
        second.terminate()

    assert (ready["host_key"], ready["keys"]) == (demo["host_key"], demo["keys"])
    assert {path.stat().st_mode & 0o777 for path in (folder / "keys").iterdir()} == {0o600}


def test_port_that_is_taken_is_a_clear_error(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with start(folder, port) as process:
            _, said = process.communicate(timeout=20)

    assert process.returncode == 2
    assert said.startswith(f"SFTP server of the demo, port {port}: it needs a port of its own")
    assert "Traceback" not in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_server_ends_cleanly_on_a_signal(folder, number):
    with start(folder) as process:
        process.stdout.readline()
        process.send_signal(number)
        _, said = process.communicate(timeout=20)

    assert (process.returncode, said) == (0, "")


@pytest.mark.usefixtures("published")
def test_publishing_as_a_party_is_a_clear_error(demo, stage, publish):
    with pytest.raises(ConfigurationError, match="the server's account may not do this"):
        publish(site(demo, "party"), stage(seed=3), name="DELTA.xml.gz")
