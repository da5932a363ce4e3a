import asyncio

import pytest

from irtuning.ui.address import Address, OwnPages, read_address


def test_the_query_names_page_run_and_adapter():
    assert read_address({"page": "runs", "run": "a-b-1234"}) == Address("runs", "a-b-1234", "")
    assert read_address({}) == Address("train", "", "")
    assert read_address({"page": "../etc", "adapter": "x" * 900}) == Address("train", "", "x" * 200)


def seen_query(path, query, root=""):
    found = {}

    async def app(scope, receive, send):
        found["query"] = scope["query_string"]

    scope = {"type": "http", "path": path, "root_path": root, "query_string": query}
    asyncio.run(OwnPages(app)(scope, None, None))
    assert scope["query_string"] == query  # the caller's is left as it is
    return found["query"]


@pytest.mark.parametrize(("path", "root", "seen"), [
    ("/", "", b"run=x&__theme=dark"), ("/studio/", "/studio", b"run=x&__theme=dark"),
    ("/gradio_api/info", "", b"page=runs&run=x&__theme=dark"),
])
def test_gradio_never_sees_our_pages(path, root, seen):
    assert seen_query(path, b"page=runs&run=x&__theme=dark", root) == seen


def test_what_is_no_request_passes():
    async def app(scope, receive, send):
        assert scope == {"type": "lifespan"}

    asyncio.run(OwnPages(app)({"type": "lifespan"}, None, None))
