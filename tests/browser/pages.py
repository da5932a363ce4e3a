"""What tests of the pages share: names on them, and how a run is started by hand."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlparse

from playwright import sync_api

ROOT = Path(__file__).parents[2]
expect = sync_api.expect
RECORDED = "brisk-otter-3f2a"
PATIENCE = 20_000
"""Milliseconds to wait for something on a page that shares two cores with others."""


def setting(page, label: str):
    """The box of a folded setting; its name goes on with the sentence below it."""
    return page.get_by_role("textbox", name=re.compile(f"^{label}"))


@contextlib.contextmanager
def visiting(profile, address: str, faults: list[str]) -> Iterator[Callable]:
    """A function that opens pages, which are closed at the end; what breaks in them and whom else they ask goes to `faults`."""
    pages = []

    def open_page(query: str = "", *, width: int = 1280, height: int = 900):
        page = profile.new_page()
        page.set_viewport_size({"width": width, "height": height})
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda r: faults.append(r.url) if urlparse(r.url).hostname not in (None, "", "127.0.0.1") else None)
        page.goto(address + query, wait_until="domcontentloaded")
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()


def start(page, steps: str = "") -> str:
    """Presses Start, with so many steps; the run's id."""
    before = page.url
    if steps:
        if not setting(page, "Number of steps").count():
            page.get_by_role("button", name="More settings").click()
        setting(page, "Number of steps").fill(steps)
    page.locator("#ir-start").click()
    page.wait_for_function("(before) => location.href !== before && location.search.includes('run=')", arg=before)
    return re.search(r"run=([\w-]+)", page.url).group(1)
