"""Files to publish, and the publisher."""

from ..publish.conftest import publish, stage, staged  # noqa: F401  # fixtures
