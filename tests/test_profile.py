"""The set-up of the tests themselves."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings


def test_hypothesis_profile_is_the_projects() -> None:
    assert settings.get_current_profile_name() == os.environ.get("HYPOTHESIS_PROFILE", "lrtheory")
    assert settings().deadline is None
    assert settings().derandomize == (bool(os.environ.get("CI")) and settings.get_current_profile_name() == "lrtheory")


def test_warnings_are_errors(request: pytest.FixtureRequest) -> None:
    assert request.config.getini("filterwarnings")[0] == "error"
