"""What a page's address says: `?page=train|runs|classify&run=…&step=…&adapter=…`. A lesson is a link.

The step is the browser's alone: the live view goes to it once the run has come so far.

gradio takes `page` for the name of a page of its own and refuses what it does not know, so that word is kept from it; a visit's
handler is told the query by the browser.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

PAGES = ("train", "runs", "classify")


@dataclass(frozen=True)
class Address:
    """One of the pages, perhaps a run, perhaps an adapter."""

    page: str = "train"
    run: str = ""
    adapter: str = ""


def read_query(query: str) -> Address:
    """As `read_address`, of the query as the browser writes it, with or without its question mark."""
    return read_address(dict(parse_qsl(query.removeprefix("?")[:2000])))


def read_address(query: Mapping[str, str]) -> Address:
    """The state in an address's query; what is no page is the first one."""
    page = query.get("page", PAGES[0])
    return Address(page if page in PAGES else PAGES[0], query.get("run", "")[:200], query.get("adapter", "")[:200])


class OwnPages:
    """ASGI middleware that takes `page` out of the query of a request for the first page."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Passes the request on."""
        if scope["type"] == "http" and scope["path"].removeprefix(scope.get("root_path") or "") in ("", "/"):
            query = parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
            kept = [(name, value) for name, value in query if name != "page"]
            scope = {**scope, "query_string": urlencode(kept).encode("latin-1")}
        await self._app(scope, receive, send)
