"""A site that a Party logs in to."""

from ..publish.conftest import sshd  # noqa: F401  # fixture
