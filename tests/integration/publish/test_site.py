"""Logging in to a site: only to the pinned server, only with the key, and never for ever."""

import socket
import time
from dataclasses import replace

import asyncssh
import pytest

from smki.errors import ConfigurationError, SiteLoginError, SiteUnavailableError
from smki.publish.site import open_sftp


@pytest.fixture
def silent_port():
    """A port that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def log_in(site):
    with open_sftp(site) as sftp:
        return sftp.listdir()


def other_key():
    return asyncssh.generate_private_key("ssh-ed25519")


def test_site_is_logged_in_to_by_key(site_server):
    assert log_in(site_server.site) == []


def test_encryption_is_the_fast_one(sshd):
    with open_sftp(sshd.site) as sftp:
        assert sftp.get_channel().get_transport().local_cipher == "aes128-gcm@openssh.com"


def test_server_with_another_host_key_is_refused(site_server):
    pinned = other_key().export_public_key().decode()

    with pytest.raises(SiteLoginError, match="ssh-ed25519 SHA256:"):
        log_in(replace(site_server.site, host_key=pinned))


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256"])
@pytest.mark.parametrize("order", [1, -1])
def test_either_of_two_pinned_host_keys_is_accepted(sshd, kind, order):
    """While a change is announced nobody knows on which side of it the server is."""
    other = asyncssh.generate_private_key(kind).export_public_key().decode().strip()
    both = ", ".join([sshd.site.host_key, other][::order])
    assert log_in(replace(sshd.site, host_key=both)) == []
    third = other_key().export_public_key().decode().strip()
    with pytest.raises(SiteLoginError):
        log_in(replace(sshd.site, host_key=f"{other}\n{third}"))
    with pytest.raises(ConfigurationError, match="host key"):
        replace(sshd.site, host_key=f"{both}, {third}")


def test_server_without_a_host_key_of_the_pinned_type_is_refused(site_server):
    pinned = asyncssh.generate_private_key("ecdsa-sha2-nistp256").export_public_key().decode()

    with pytest.raises(SiteLoginError):
        log_in(replace(site_server.site, host_key=pinned))


def test_key_that_the_server_refuses_is_a_clear_error(site_server, tmp_path):
    other_key().write_private_key(tmp_path / "unknown_key")

    with pytest.raises(SiteLoginError, match="SHA256:"):
        log_in(replace(site_server.site, key_file=tmp_path / "unknown_key"))


def test_server_that_is_down_is_unavailable(sshd):
    sshd.stop()

    with pytest.raises(SiteUnavailableError, match="refused"):
        log_in(sshd.site)


def test_name_that_does_not_resolve_is_unavailable(sshd):
    with pytest.raises(SiteUnavailableError):
        log_in(replace(sshd.site, host="sftp.invalid"))


def test_server_that_never_answers_is_unavailable_after_the_timeout(sshd, silent_port):
    begun = time.monotonic()

    with pytest.raises(SiteUnavailableError):
        log_in(replace(sshd.site, port=silent_port, connect_timeout_s=0.5))
    assert time.monotonic() - begun < 5


def test_key_with_a_passphrase_is_a_clear_error(sshd, tmp_path):
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(tmp_path / "locked", passphrase=tmp_path.name)
    with pytest.raises(ConfigurationError, match="private key without a passphrase"):
        log_in(replace(sshd.site, key_file=tmp_path / "locked"))


def test_missing_key_file_is_a_clear_error(sshd, tmp_path):
    with pytest.raises(ConfigurationError, match="key file"):
        log_in(replace(sshd.site, key_file=tmp_path / "missing"))


def test_file_that_is_no_key_is_a_clear_error(sshd, tmp_path):
    (tmp_path / "text").write_text("not a key")

    with pytest.raises(ConfigurationError, match="key file"):
        log_in(replace(sshd.site, key_file=tmp_path / "text"))


@pytest.mark.parametrize(
    "host_key", ["", "ssh-ed25519", "ssh-ed25519 !!!", "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAA", "AAAA BBBB"]
)
def test_text_that_is_no_host_key_is_refused(sshd, host_key):
    with pytest.raises(ConfigurationError, match="host key"):
        replace(sshd.site, host_key=host_key)


def test_timeout_of_zero_is_refused(sshd):
    with pytest.raises(ConfigurationError, match="0 s"):
        replace(sshd.site, answer_timeout_s=0)
