"""What really goes over the wire (draft-ietf-secsh-filexfer-02)."""

import struct
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from paramiko import Channel, SFTPClient

NAMES = {
    3: "OPEN",
    4: "CLOSE",
    5: "READ",
    6: "WRITE",
    8: "FSTAT",
    10: "FSETSTAT",
    14: "MKDIR",
    17: "STAT",
    200: "EXTENDED",
}
MODES = {1: "r", 3: "r+", 2 | 8 | 16 | 32: "w,excl"}


class RecordingChannel:
    """An SFTP channel that keeps what is sent."""

    def __init__(self, channel: Channel, names: dict[str, str]) -> None:
        self._channel = channel
        self._names = names  # path → as the recipe calls it
        self._sent = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def send(self, data: bytes) -> int:
        count = self._channel.send(data)
        self._sent += bytes(data[:count])
        return count

    def sendall(self, data: bytes) -> None:
        self._channel.sendall(data)
        self._sent += bytes(data)

    def trace(self) -> list[str]:
        """Each request as the recipe writes it; the same in a row as one."""
        requests = (self._request(kind, fields) for kind, fields in self._requests())
        counted = [(request, len(list(same))) for request, same in groupby(requests)]
        return [f"{request}×n" if count > 1 else request for request, count in counted]

    def written(self) -> int:
        """Bytes of all WRITE requests."""
        total = 0
        for kind, fields in self._requests():
            if NAMES[kind] == "WRITE":
                (handle,) = struct.unpack_from(">I", fields)
                total += struct.unpack_from(">I", fields, 4 + handle + 8)[0]
        return total

    def _requests(self) -> Iterator[tuple[int, bytes]]:
        """Type, and the fields after the request id."""
        at = 0
        while at < len(self._sent):
            (length,) = struct.unpack_from(">I", self._sent, at)
            yield self._sent[at + 4], self._sent[at + 9 : at + 4 + length]
            at += 4 + length

    def _request(self, kind: int, fields: bytes) -> str:
        (length,) = struct.unpack_from(">I", fields)
        text, rest = fields[4 : 4 + length].decode(errors="replace"), fields[4 + length :]
        match NAMES[kind]:
            case "EXTENDED":
                return text.partition("@")[0].upper()
            case "OPEN":
                return f"OPEN {self._names[text]} {MODES[struct.unpack_from('>I', rest)[0]]}"
            case "STAT":
                return f"STAT {self._names[text]}"
            case other:
                return other


def record(sftp: SFTPClient, **names: str) -> RecordingChannel:
    """Records what a session sends; `names` are paths by what the recipe calls them."""
    channel = sftp.get_channel()
    assert channel is not None
    recording = RecordingChannel(channel, {path: name for name, path in names.items()})
    sftp.sock = recording  # type: ignore[assignment]
    return recording
