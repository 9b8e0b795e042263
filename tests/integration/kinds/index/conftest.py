"""A site that an index is published on."""

from ...publish.conftest import sshd  # noqa: F401  # fixture
