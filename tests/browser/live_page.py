"""Serves a page with nothing but live views on a store, for tests in a browser: live_page.py HOME PORT."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio as gr

from irtuning.runs.store import RunStore
from irtuning.ui.live import LIVE_CSS, live_view


def main() -> None:
    """The page shows the run of its address, and whatever run is typed into its box."""
    store = RunStore(Path(sys.argv[1]))
    with gr.Blocks(title="Live") as page:
        box = gr.Textbox(label="run")
        view = live_view(store, stop=store.request_stop)
        box.submit(lambda run: run, box, view, show_progress="hidden")

        def asked(request: gr.Request) -> str:
            return request.query_params.get("run", "")

        page.load(asked, None, view, show_progress="hidden")
    threading.Thread(target=_end_with_the_tests, daemon=True).start()
    page.launch(server_name="127.0.0.1", server_port=int(sys.argv[2]), css_paths=[LIVE_CSS], quiet=True)


def _end_with_the_tests() -> None:
    # A test process that is killed ends no server; its end of this pipe closes all the same.
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
