"""A line between a port of loopback and a server there: so many bits a second each way, and so long a way.

All connections share it. A sender that is ahead of the line is held back, as by a real one.
"""

import socket
import threading
import time
from contextlib import suppress
from queue import SimpleQueue
from typing import Self

_HOST = "127.0.0.1"
_PIECE = 16 << 10
_AHEAD_S = 0.05  # that a sender may be


class Way:
    """One way of a line."""

    def __init__(self, bits_a_second: float, delay_s: float) -> None:
        self.bytes = 0  # that went over it
        self._rate, self._delay_s = bits_a_second / 8, delay_s
        self._free_at = 0.0
        self._lock = threading.Lock()

    def carry(self, source: socket.socket, target: socket.socket) -> None:
        """Carries all that a socket sends, until it ends."""
        under_way: SimpleQueue[tuple[float, bytes]] = SimpleQueue()
        threading.Thread(target=_arrive, args=(under_way, target), daemon=True).start()
        data = b"-"
        while data:
            try:
                data = source.recv(_PIECE)
            except OSError:
                data = b""
            under_way.put((self._send(len(data)), data))

    def _send(self, size: int) -> float:
        """When what is sent now arrives; waits until the line takes it."""
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + size / self._rate
            self.bytes += size
            free_at = self._free_at
        time.sleep(max(0.0, free_at - now - _AHEAD_S))
        return free_at + self._delay_s


class Line:
    """The line: connect to its port."""

    def __init__(self, port: int, bits_a_second: float, round_trip_s: float) -> None:
        self.up, self.down = (Way(bits_a_second, round_trip_s / 2) for _ in range(2))
        self._to = port
        self._listening = socket.create_server((_HOST, 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection((_HOST, self._to))
                for way, source, target in ((self.up, client, server), (self.down, server, client)):
                    threading.Thread(target=way.carry, args=(source, target), daemon=True).start()


def _arrive(under_way: "SimpleQueue[tuple[float, bytes]]", target: socket.socket) -> None:
    data = b"-"
    with suppress(OSError):
        while data:
            at, data = under_way.get()
            time.sleep(max(0.0, at - time.monotonic()))
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
