"""A session on a site as a Party's, in which each file is looked at on its own."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic

from paramiko import SFTPClient

from smki.errors import ConfigurationError, SiteUnavailableError, TransportError, UploadDamagedError
from smki.publish.site import site_errors
from smki.watch.findings import Kind
from smki.watch.site_findings import Obstacle


class OutOfTimeError(Exception):
    """The rest is read at the next look."""


def in_seconds(seconds: float) -> float:
    """The end of a time that begins now, for `PartySession.until`."""
    return monotonic() + seconds


@dataclass(slots=True)
class PartySession:
    """A session, and what it has found to keep a Party from reading files."""

    sftp: SFTPClient
    now: datetime  # UTC
    obstacles: dict[str, Obstacle | None] = field(default_factory=dict)  # by path; none: removed since it was listed
    until: float = math.inf  # when reading back ends
    unanswered: str = ""  # path of the file at which the server fell silent

    @contextmanager
    def each_file(self, path: str) -> Iterator[None]:
        """What goes wrong with a file in the block ends the block and is its obstacle. Raises SiteUnavailableError."""
        try:
            with site_errors(path):
                yield
        except SiteUnavailableError as error:
            if isinstance(error.__cause__, TimeoutError):
                self.unanswered = path
            raise
        except UploadDamagedError:
            self.obstacles[path] = None
        except ConfigurationError:
            rule = "a Party's account may not open it, so for Parties it is not there."
            self.obstacles[path] = Obstacle(Kind.UNREADABLE, rule)
        except TransportError as error:
            self.obstacles[path] = Obstacle(Kind.READ_ERROR, f"a Party cannot read it: {error.rule}")

    def check_time(self) -> None:
        """Raises OutOfTimeError once the time is over; after that the session may be unusable."""
        if monotonic() > self.until:
            raise OutOfTimeError
