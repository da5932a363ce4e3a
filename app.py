"""The app: builds the store, the launcher and the shelf of adapters, hands them to the pages, and serves them. Nothing else.

`python app.py` listens where GRADIO_SERVER_NAME and GRADIO_SERVER_PORT say. Ctrl-C ends the app, never a run.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

# Before gradio is imported: nothing may leave this machine.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

from gradio import Blocks
from starlette.middleware import Middleware

from irtuning.insight.machine import MachineProbe
from irtuning.runs.launch import LocalLauncher
from irtuning.runs.store import RECORDED, RunStore
from irtuning.shelf import AdapterShelf
from irtuning.ui.address import OwnPages
from irtuning.ui.host import local_paths_allowed, share_asked
from irtuning.ui.shell import build_ui
from irtuning.ui.studio import Studio
from irtuning.ui.theme import FAVICON, STYLES, head, theme


def build_studio() -> Studio:
    """The parts that the pages work with."""
    store = RunStore.default(recorded=RECORDED)
    shelf = AdapterShelf(store)
    return Studio(
        store=store,
        launcher=LocalLauncher(store, make_room=shelf.make_room),
        shelf=shelf,
        probe=MachineProbe(),
        paths_allowed=local_paths_allowed,
    )


def main() -> None:
    """Serves the pages until Ctrl-C."""
    studio = build_studio()
    blocks = build_ui(studio)
    studio.launcher.start()
    for number in (signal.SIGINT, signal.SIGTERM):  # the latter is a host's way to end the app
        if signal.getsignal(number) != signal.SIG_IGN:  # as where a script put it into the background
            signal.signal(number, end)
    try:
        with suppress(KeyboardInterrupt):
            _, url, _ = serve(blocks)
            print(f"IR-Tuning Studio: {url}")
            blocks.block_thread()
    finally:
        studio.launcher.close()
        for line in still_training(studio.store):
            print(line)


def end(number: int, frame: Any) -> None:
    """Ends the app as Ctrl-C does. A second one interrupts nothing: closing takes some seconds at most."""
    for again in (signal.SIGINT, signal.SIGTERM):
        signal.signal(again, signal.SIG_IGN)
    raise KeyboardInterrupt


def serve(blocks: Blocks) -> tuple[Any, str, Any]:
    """Starts serving; returns at once with gradio's app, the address, and the shared address or None."""
    return blocks.queue(default_concurrency_limit=None).launch(
        theme=theme(), css_paths=STYLES, head=head(), favicon_path=FAVICON, footer_links=[], max_file_size="64mb",
        share=share_asked(), ssr_mode=False, run_history=False,
        app_kwargs={"middleware": [Middleware(OwnPages)]}, quiet=True, prevent_thread_lock=True,
    )


def still_training(store: RunStore) -> list[str]:
    """What to tell on leaving: runs that go on without the app, and how to stop each."""
    python = shlex.quote(Path(sys.executable).name)
    return [
        f"{row['run']} goes on training. To stop it: {python} -m irtuning runs stop {row['run']}"
        for row in store.list()
        if row["state"] == "running"
    ]


if __name__ == "__main__":
    main()
