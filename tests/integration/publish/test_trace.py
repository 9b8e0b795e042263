"""The trace of requests on top of the recipe is what really goes over the wire."""

import re
import struct
from itertools import groupby

from smki.publish import recipe
from smki.publish.recipe import publish_file
from smki.publish.site import open_sftp

STATED = re.findall(r"[^ ·\n][^·\n]*[^ ·\n]", "\n".join(re.findall(r"^    (\w.*)$", recipe.__doc__, re.MULTILINE)))
NAMES = {3: "OPEN", 4: "CLOSE", 5: "READ", 6: "WRITE", 8: "FSTAT", 14: "MKDIR", 17: "STAT", 200: "EXTENDED"}
MODES = {1: "r", 3: "r+", 2 | 8 | 16 | 32: "w,excl"}


class RecordingChannel:
    """An SFTP channel that keeps what is sent."""

    def __init__(self, channel):
        self._channel = channel
        self.sent = b""

    def __getattr__(self, name):
        return getattr(self._channel, name)

    def send(self, data):
        count = self._channel.send(data)
        self.sent += bytes(data[:count])
        return count

    def sendall(self, data):
        self._channel.sendall(data)
        self.sent += bytes(data)

    def requests(self):
        """Each as the recipe writes it (draft-ietf-secsh-filexfer-02)."""
        at = 0
        while at < len(self.sent):
            (length,) = struct.unpack_from(">I", self.sent, at)
            yield self._request(self.sent[at + 4], self.sent[at + 9 : at + 4 + length])
            at += 4 + length

    def _request(self, kind, fields):
        (length,) = struct.unpack_from(">I", fields)
        text, rest = fields[4 : 4 + length].decode(errors="replace"), fields[4 + length :]
        match NAMES[kind]:
            case "EXTENDED":
                return text.partition("@")[0].upper()
            case "OPEN":
                return f"OPEN {self._file(text)} {MODES[struct.unpack_from('>I', rest)[0]]}"
            case "STAT":
                return f"STAT {self._file(text)}"
            case other:
                return other

    @staticmethod
    def _file(path):
        return {"outgoing": "folder", "outgoing/FULL.xml.gz": "final", "outgoing/.FULL.xml.gz.part": ".part"}[path]


def requests_of_publishing(site, staged):
    with open_sftp(site) as sftp:
        sftp.sock = recording = RecordingChannel(sftp.get_channel())
        publish_file(sftp, staged, "FULL.xml.gz", site.folder, staged.sha256(), lambda _done, _total: None)
    counted = [(request, len(list(same))) for request, same in groupby(recording.requests())]
    return [f"{request}×n" if count > 1 else request for request, count in counted]


def test_requests_are_those_that_the_recipe_states(site_server, staged):
    site_server.published.mkdir()
    assert requests_of_publishing(site_server.site, staged) == STATED


def test_folder_that_is_missing_is_the_only_other_request(sshd, staged):
    trace = requests_of_publishing(sshd.site, staged)
    assert [request for request in trace if request not in STATED] == ["MKDIR"]
