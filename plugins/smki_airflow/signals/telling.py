"""Tells people by Airflow's connections; whichever of the two exists is used.

* `smki_smtp` (type SMTP): mail in plain text to the contacts of user_guide.toml, by the SMTP provider's hook. The
  connection's extra states `from_email`.
* `smki_webhook` (type HTTP): a POST of `{"text": …}`, which Slack, Mattermost and most others take. The URL is the
  host, `https://` unless it says otherwise, and, where its path is a secret as Slack's is, the password behind it.

One connection that takes a message counts as delivered; the log says that the other one did not, and which contacts a
mail server refused.
"""

import logging
import smtplib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import cast

import requests
from airflow.providers.smtp.hooks.smtp import SmtpHook
from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException
from sqlalchemy import Engine

from smki.errors import NotificationError
from smki.gate.ledger import find_gate_run
from smki.obligations.catalogue import UserGuide
from smki.settings import Settings
from smki.watch.findings_ledger import open_finding
from smki.watch.links import Links
from smki.watch.mail import as_email, log_refused
from smki.watch.repository_findings import find_held
from smki.watch.telling import Message, tell
from smki_airflow.links import base_url
from smki_airflow.names import SMTP, WEBHOOK

log = logging.getLogger(__name__)
_TIMEOUT_S = 20


def tell_people(engine: Engine, guide: UserGuide, now: datetime) -> int:
    """Sends what is to be told at `now` (UTC); returns how many messages went out. Call it in a thread of its own."""
    channels = {
        conn_id: partial(channel, connection)
        for conn_id, channel in _CHANNELS.items()
        if (connection := _connection(conn_id)) is not None
    }
    if not channels:
        log.info("nobody is told: there is neither a connection %s nor %s", SMTP, WEBHOOK)
        return 0

    def send(message: Message) -> None:
        failures = []
        for conn_id, channel in channels.items():
            try:
                channel(message)
            except Exception as error:  # noqa: BLE001  # whatever mail and web libraries raise
                log.warning("message not taken connection=%s error=%s: %s", conn_id, type(error).__name__, error)
                failures.append(f"{conn_id} ({type(error).__name__}: {error})")
        if len(failures) == len(channels):
            raise NotificationError(" and ".join(failures), "no connection took the message.")

    links = Links(base_url() or None, Settings.from_environment().runbook)
    return tell(engine, guide, send, now, links)


def tell_of_held(engine: Engine, guide: UserGuide, gate_runs: Sequence[int]) -> None:
    """Tells people at once that these gate runs wait for one of them; the auditor would within minutes."""
    now = datetime.now(UTC)
    for finding in find_held(guide, [find_gate_run(engine, number) for number in gate_runs]):
        open_finding(engine, finding, now)
    tell_people(engine, guide, now)


def _mail(connection: Connection, message: Message) -> None:
    if not message.mail_addresses:
        raise ValueError(f"none of the contacts {', '.join(message.to)} is a mail address")
    with SmtpHook(smtp_conn_id=connection.conn_id) as hook:
        if not hook.from_email:
            raise ValueError("the connection's extra states no from_email")
        client = cast("smtplib.SMTP", hook._smtp_client)  # noqa: SLF001  # the hook's own mails are HTML only
        log_refused(client.send_message(as_email(message, hook.from_email)))


def _post(connection: Connection, message: Message) -> None:
    host = connection.host or ""
    url = host if "://" in host else f"{connection.schema or 'https'}://{host}"
    if connection.port:
        url = f"{url}:{connection.port}"
    if connection.password:
        url = f"{url.rstrip('/')}/{connection.password.lstrip('/')}"
    try:
        answer = requests.post(url, json={"text": f"{message.subject}\n{message.text}"}, timeout=_TIMEOUT_S)
    except requests.RequestException as error:
        raise ConnectionError(type(error).__name__) from None  # its text has the URL, whose path may be a secret
    if not answer.ok:
        raise ConnectionError(f"it answered {answer.status_code}")


_CHANNELS: dict[str, Callable[[Connection, Message], None]] = {SMTP: _mail, WEBHOOK: _post}


def _connection(conn_id: str) -> Connection | None:
    try:
        found: Connection = Connection.get(conn_id)
    except AirflowNotFoundException:
        return None
    return found
