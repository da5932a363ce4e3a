"""A hub of a few models on this machine: one that is open, ones that are gated, gone, private, busy or slow.

Answers as the real one does: the list of a gated model's files is open, its files are not.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FILES = ["config.json", "model.safetensors"]


class _Hub(BaseHTTPRequestHandler):
    def _answer(self, status: int = 200, code: str = "", body: object = None, **headers: str) -> None:
        text = json.dumps(body or {}).encode()
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def do_GET(self) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        path = self.path.split("?")[0].strip("/")
        if not path:
            return self._answer()
        kind = path.removeprefix("api/models/").split("/")[0]
        about = path.startswith("api/models/")
        if kind == "slow":
            time.sleep(20)
        if kind == "busy":
            return self._answer(503)
        if kind == "gone":
            return self._answer(404, "RepoNotFound")
        if kind == "private":
            return self._answer(401, X_Error_Message="Invalid username or password.")
        if kind == "badtoken":
            return self._answer(401, X_Error_Message="Invalid credentials in Authorization header")
        if about:
            files = ["config.json", "pytorch_model.bin"] if kind == "pickled" else FILES
            return self._answer(body={"id": f"{kind}/model", "siblings": [{"rfilename": name} for name in files]})
        if kind == "meta-llama" or kind == "gated":
            return self._answer(401, "GatedRepo")
        if kind == "waiting":
            return self._answer(403, "GatedRepo")
        if kind == "bare":
            return self._answer(404, "EntryNotFound")
        return self._answer(ETag='"0123"', X_Repo_Commit="0" * 40)

    do_HEAD = do_GET

    def log_message(self, *args: object) -> None:
        """Tests have nobody to tell."""


@contextmanager
def fake_hub() -> Iterator[tuple[str, list[str]]]:
    """Address of the hub, and what it was asked so far, e.g. `HEAD /`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    server.daemon_threads, server.block_on_close, server.asked = True, False, []
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", server.asked
    finally:
        server.shutdown()
        server.server_close()
