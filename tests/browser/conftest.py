"""Shared by the tests in a browser: one chromium a file."""

from __future__ import annotations

import pytest
from playwright import sync_api

from tests.browser.live_serving import launch


@pytest.fixture(scope="module")
def chromium():
    """A browser; each test opens pages of its own."""
    with sync_api.sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()
