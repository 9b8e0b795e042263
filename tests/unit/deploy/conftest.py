"""docker-compose.yml as `docker compose` would read it: anchors resolved, `${VAR}` taken from a complete .env."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from smki.settings import PROJECT

COMPOSE_FILE = PROJECT / "docker-compose.yml"
_DOTENV_LINE = re.compile(r"^([A-Z_]+)=(.*)$", re.MULTILINE)
_REFERENCE = re.compile(r"\$(?:(\$)|\{([A-Z_]+)(?:(:[-?])([^}]*))?\})")


@pytest.fixture(scope="session")
def raw() -> dict[str, Any]:
    return yaml.safe_load(COMPOSE_FILE.read_text())


@pytest.fixture(scope="session")
def references(raw: dict[str, Any]) -> set[tuple[str, str]]:
    """(variable, operator) of every `${…}`."""
    return {(match[2], match[3]) for text in _texts(raw) for match in _REFERENCE.finditer(text) if match[2]}


@pytest.fixture(scope="session")
def dotenv_example() -> dict[str, str]:
    return dict(_DOTENV_LINE.findall((PROJECT / ".env.example").read_text()))


@pytest.fixture(scope="session")
def compose(raw: dict[str, Any]) -> dict[str, Any]:
    """With all required variables set to their own name in angle brackets, and all others left empty."""
    return _interpolated(raw)


def _interpolated(value: Any) -> Any:
    match value:
        case dict():
            return {key: _interpolated(item) for key, item in value.items()}
        case list():
            return [_interpolated(item) for item in value]
        case str():
            assert "$" not in _REFERENCE.sub("", value), f"neither ${{VAR}} nor $$: {value}"
            return _REFERENCE.sub(lambda m: m[1] or (m[4] if m[3] == ":-" else f"<{m[2]}>"), value)
    return value


def _texts(value: Any) -> Iterator[str]:
    match value:
        case dict():
            for item in value.values():
                yield from _texts(item)
        case list():
            for item in value:
                yield from _texts(item)
        case str():
            yield value
