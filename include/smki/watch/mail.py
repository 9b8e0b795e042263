"""Sends messages by a mail server that a URL names: what `smki audit` tells people by where there is no Airflow.

    SMKI_SMTP_URL=smtp://user:password@mail.example.org:587?from=smki@example.org

A server may take a message for some of its contacts only. They are told, and who is not is logged by name: sent again,
the message would come to the others at every look.

`smtp` goes over to TLS where the server offers it, and has to before a password is sent; `smtps` begins with TLS.
"""

import logging
import smtplib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from urllib.parse import parse_qs, unquote, urlsplit

from smki.errors import ConfigurationError, NotificationError
from smki.watch.telling import Message

log = logging.getLogger(__name__)
VARIABLE = "SMKI_SMTP_URL"
_TIMEOUT_S = 20
_PORTS = {"smtp": 25, "smtps": 465}


@dataclass(frozen=True, slots=True, repr=False)  # it holds a password
class Mailer:
    """A mail server, and as whom to send."""

    host: str
    port: int
    sender: str
    tls: bool = False  # from the first byte on
    user: str = ""
    password: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Mailer | None":
        """What SMKI_SMTP_URL names; none where it is not set. Raises ConfigurationError."""
        stated = environment.get(VARIABLE)
        if not stated:
            return None
        try:
            url = urlsplit(stated)
            port, senders = url.port, parse_qs(url.query).get("from", [])
        except ValueError:
            port, senders, url = None, [], urlsplit("")
        if url.scheme not in _PORTS or not url.hostname or len(senders) != 1:
            raise ConfigurationError(
                VARIABLE,
                "it has to read smtp://user:password@host:port?from=ADDRESS, or smtps://…",
                "Nobody is told of findings.",
                "correct the variable.",
            )
        user, password = unquote(url.username or ""), unquote(url.password or "")
        return cls(url.hostname, port or _PORTS[url.scheme], senders[0], url.scheme == "smtps", user, password)

    def send(self, message: Message) -> None:
        """Sends one message. Raises NotificationError."""
        if not message.mail_addresses:
            raise _not_sent(self, f"none of the contacts {', '.join(message.to)} is a mail address")
        try:
            with self._session() as session:
                log_refused(session.send_message(as_email(message, self.sender)))
        except (OSError, smtplib.SMTPException) as error:
            raise _not_sent(self, f"{type(error).__name__}: {error}") from error

    def _session(self) -> smtplib.SMTP:
        context = ssl.create_default_context()
        if self.tls:
            session: smtplib.SMTP = smtplib.SMTP_SSL(self.host, self.port, timeout=_TIMEOUT_S, context=context)
        else:
            session = smtplib.SMTP(self.host, self.port, timeout=_TIMEOUT_S)
            session.ehlo()
            if session.has_extn("starttls"):
                session.starttls(context=context)
            elif self.user:
                session.close()
                raise smtplib.SMTPNotSupportedError("the server offers no TLS, and a password is not sent without")
        if self.user:
            session.login(self.user, self.password)
        return session


def log_refused(refused: Mapping[str, tuple[int, bytes]]) -> None:
    """Says which contacts the server took no message for, of those that `smtplib` returns."""
    for contact, (code, reason) in refused.items():
        said = " ".join(reason.decode(errors="replace").split())
        log.error("contact not told contact=%s error=%s %s: correct it in user_guide.toml", contact, code, said)


def as_email(message: Message, sender: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"] = sender
    mail["To"] = ", ".join(message.mail_addresses)
    mail["Subject"] = " ".join(message.subject.split())
    mail.set_content(message.text)
    return mail


def _not_sent(mailer: Mailer, reason: str) -> NotificationError:
    return NotificationError(f"mail server {mailer.host}:{mailer.port}", f"it did not take a message ({reason}).")
