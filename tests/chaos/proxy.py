"""A door between the publisher and a partner (PostgreSQL, a site, an object store) that can be made to fail.

| fault | what the publisher meets from the moment on |
|---|---|
| refuse | no connection is accepted, and those there are end |
| cut | a connection ends once some bytes have gone through it; the next ones work |
| deaf | the same, but what the publisher has sent arrives: its requests are done, and the answers are lost |
| freeze | nothing goes through, and nothing ends, until it is healed |

A fault is armed, and strikes the first connection over which more than `after` bytes are sent. It strikes once, but for
*refuse*, which strikes at once and lasts.
"""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum

HOST = "127.0.0.1"
_AT_ONCE = 1 << 16


class Fault(StrEnum):
    """What a door does to its connections."""

    REFUSE = "refuse"
    CUT = "cut"
    DEAF = "deaf"
    FREEZE = "freeze"


class Door:
    """Listens on a port of loopback and leads to what `connect` opens."""

    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        self._connect = connect
        self._listening = socket.create_server((HOST, 0))
        self.port: int = self._listening.getsockname()[1]
        self._lock = threading.Lock()
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._armed: Fault | None = None
        self._after = 0
        self._open = threading.Event()  # cleared while it is frozen
        self._open.set()
        self.struck = threading.Event()
        self._longest = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def arm(self, fault: Fault, after: int = 0) -> None:
        """Lets the fault strike; `after` so many bytes that one connection has sent."""
        with self._lock:
            self.struck.clear()
            self._armed, self._after = fault, after
        if fault is Fault.REFUSE:
            self.struck.set()
            for pair in list(self._pairs):
                self._end(pair)

    def heal(self) -> None:
        """Lets everything through again."""
        with self._lock:
            self._armed = None
        self._open.set()

    def take_longest(self) -> int:
        """How many bytes one connection has sent at most, since this was asked last."""
        with self._lock:
            longest, self._longest = self._longest, 0
        return longest

    def close(self) -> None:
        self.heal()
        self._listening.close()
        for pair in list(self._pairs):
            self._end(pair)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            if self._armed is Fault.REFUSE:
                client.close()
                continue
            try:
                pair = (client, self._connect())
            except OSError:
                client.close()
                continue
            self._pairs.add(pair)
            deaf = threading.Event()
            threading.Thread(target=self._send, args=(pair, deaf), daemon=True).start()
            threading.Thread(target=self._answer, args=(pair, deaf), daemon=True).start()

    def _send(self, pair: tuple[socket.socket, socket.socket], deaf: threading.Event) -> None:
        client, partner = pair
        sent = 0
        with suppress(OSError):
            while data := client.recv(_AT_ONCE):
                self._open.wait()
                sent += len(data)
                fault = self._strikes(sent)
                if fault is Fault.CUT:
                    break
                if fault is Fault.DEAF:
                    deaf.set()
                partner.sendall(data)
                if fault is Fault.DEAF:
                    threading.Timer(2, self._end, [pair]).start()
        self._end(pair)

    def _answer(self, pair: tuple[socket.socket, socket.socket], deaf: threading.Event) -> None:
        client, partner = pair
        with suppress(OSError):
            while data := partner.recv(_AT_ONCE):
                self._open.wait()
                if not deaf.is_set():
                    client.sendall(data)
        if not deaf.is_set():
            self._end(pair)

    def _strikes(self, sent: int) -> Fault | None:
        with self._lock:
            self._longest = max(self._longest, sent)
            if self._armed in (None, Fault.REFUSE) or sent <= self._after:
                return None
            fault, self._armed = self._armed, None
        if fault is Fault.FREEZE:
            self._open.clear()
        self.struck.set()
        self._open.wait()
        return fault

    def _end(self, pair: tuple[socket.socket, socket.socket]) -> None:
        self._pairs.discard(pair)
        for one in pair:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
