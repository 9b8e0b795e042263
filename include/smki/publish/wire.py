"""SFTP requests of which several are in flight, on the channel of a paramiko client.

paramiko's own file object either waits for each answer, which is slow, or leaves answers unread until it closes and
then drops what they say, which has published wrong bytes. Here every answer is read and its status is looked at. The
frames are those of draft-ietf-secsh-filexfer-02, the version 3 that every server speaks.
"""

import errno
import struct
from collections.abc import Callable
from dataclasses import dataclass

from paramiko import SFTPClient, SFTPError
from paramiko.sftp import (
    CMD_EXTENDED,
    CMD_READ,
    CMD_STATUS,
    CMD_WRITE,
    SFTP_NO_SUCH_FILE,
    SFTP_OK,
    SFTP_PERMISSION_DENIED,
)

CHUNK = 32_600  # bytes a request; 32,768 and the header around them would spill into a second SSH packet
WINDOW = 64  # requests in flight: 2 MB, so 100 MB/s at a round trip of 20 ms

# Requests are sent in batches: with one new request an answer the two threads of a session hand the interpreter to and
# fro for every request.
_REFILL = WINDOW * 3 // 4

COPY_DATA = "copy-data"  # the extension by which a server copies ranges of its files

# All that a channel's window can hold: taking a part of paramiko's buffer moves the rest of it.
_RECEIVE_BYTES = 1 << 22

# paramiko counts its own requests from 1; an answer must never be taken for one of ours.
_FIRST_ID = 1 << 31
_HEAD_BYTES = 9  # length, type and request id

_ERRNO = {SFTP_NO_SUCH_FILE: errno.ENOENT, SFTP_PERMISSION_DENIED: errno.EACCES}  # as paramiko has it


@dataclass(frozen=True, slots=True)
class Request:
    """One request: its type, where in the file it is about, and its fields after the request id."""

    kind: int
    offset: int
    length: int  # bytes that it writes, asks for or has copied
    fields: bytes


class RequestRefusedError(OSError):
    """The server answered a request with an error status."""

    def __init__(self, code: int, text: str, offset: int) -> None:
        super().__init__(_ERRNO.get(code), text)
        self.code = code
        self.offset = offset


def text_field(value: str | bytes) -> bytes:
    """A string as SFTP frames it."""
    data = value.encode() if isinstance(value, str) else value
    return struct.pack(">I", len(data)) + data


def write_request(handle: bytes, offset: int, data: bytes) -> Request:
    """Request that puts `data` at `offset`."""
    fields = b"".join((text_field(handle), struct.pack(">QI", offset, len(data)), data))
    return Request(CMD_WRITE, offset, len(data), fields)


def read_request(handle: bytes, offset: int, length: int) -> Request:
    """Request for `length` bytes from `offset`; the answer may hold fewer."""
    return Request(CMD_READ, offset, length, text_field(handle) + struct.pack(">QI", offset, length))


def copy_request(source: bytes, source_offset: int, length: int, target: bytes, offset: int) -> Request:
    """Request that the server copies bytes between two open files (OpenSSH's PROTOCOL, section 4.10)."""
    read = text_field(source) + struct.pack(">QQ", source_offset, length)
    fields = text_field(COPY_DATA) + read + text_field(target) + struct.pack(">Q", offset)
    return Request(CMD_EXTENDED, offset, length, fields)


class Wire:
    """Sends requests and reads their answers while no other request of the client is under way.

    Raises EOFError, TimeoutError, OSError or SSHException when the connection fails; `site_errors` makes them typed.
    """

    def __init__(self, sftp: SFTPClient) -> None:
        channel = sftp.get_channel()
        if channel is None:
            raise EOFError("the SFTP client has no channel")
        self._channel = channel
        self._received = b""
        self._at = 0  # where in _received the next answer begins

    def exchange(
        self, next_request: Callable[[], Request | None], answered: Callable[[Request, memoryview], None]
    ) -> None:
        """Sends requests until there is none left, and hands each answer to `answered`, in the order of arrival.

        An answer's fields begin after its request id; a status that says OK is an answer too. After an error status
        nothing more is sent, the answers still to come are read, and RequestRefusedError is raised for the first one.
        """
        try:
            refused = self._exchange(next_request, answered)
        except BaseException:
            # Answers that are still to come would be taken for those of later requests.
            self._channel.close()
            raise
        if refused:
            raise refused

    def extended(self, name: str, *arguments: str | bytes) -> bytes:
        """Fields of the answer to one request of an extension. Raises RequestRefusedError."""
        return self.ask(CMD_EXTENDED, b"".join(map(text_field, (name, *arguments))))

    def ask(self, kind: int, fields: bytes) -> bytes:
        """Fields of the answer to one request. Raises RequestRefusedError."""
        answers: list[bytes] = []
        requests = iter((Request(kind, 0, 0, fields),))
        self.exchange(lambda: next(requests, None), lambda _, answer: answers.append(bytes(answer)))
        return answers[0]

    def _exchange(
        self, next_request: Callable[[], Request | None], answered: Callable[[Request, memoryview], None]
    ) -> RequestRefusedError | None:
        in_flight: dict[int, Request] = {}
        refused: RequestRefusedError | None = None
        more = True
        request_id = _FIRST_ID
        while True:
            while more and len(in_flight) < WINDOW:
                request = next_request()
                if request is None:
                    break
                self._send(request_id, request)
                in_flight[request_id] = request
                request_id += 1
            if not in_flight:
                return refused
            for _ in range(max(1, len(in_flight) - _REFILL)):
                answer_id, kind, fields = self._receive()
                if (request := in_flight.pop(answer_id, None)) is None:
                    raise SFTPError(f"an answer to request {answer_id}, which was not sent")
                if kind == CMD_STATUS and (error := _refusal(fields, request)):
                    refused = refused or error
                    more = False
                elif not refused:
                    answered(request, fields)

    def _send(self, request_id: int, request: Request) -> None:
        header = struct.pack(">IBI", 5 + len(request.fields), request.kind, request_id)
        self._channel.sendall(header + request.fields)

    def _receive(self) -> tuple[int, int, memoryview]:
        """Request id, type and fields of the next answer."""
        while (end := self._frame_end()) > len(self._received):
            data = self._channel.recv(_RECEIVE_BYTES)
            if not data:
                raise EOFError("the server closed the session")
            self._received = self._received[self._at :] + data
            self._at = 0
        frame = memoryview(self._received)[self._at : end]
        self._at = end
        if len(frame) < _HEAD_BYTES:
            raise SFTPError(f"an answer of {len(frame)} bytes")
        kind, answer_id = struct.unpack_from(">BI", frame, 4)
        return answer_id, kind, frame[9:]

    def _frame_end(self) -> int:
        """Where the next answer ends; where its length field ends as long as that is not here."""
        if len(self._received) < self._at + 4:
            return self._at + 4
        (length,) = struct.unpack_from(">I", self._received, self._at)
        return self._at + 4 + int(length)


def _refusal(status: memoryview, request: Request) -> RequestRefusedError | None:
    code, length = struct.unpack_from(">II", status)
    if code == SFTP_OK:
        return None
    return RequestRefusedError(code, bytes(status[8 : 8 + length]).decode(errors="replace"), request.offset)
