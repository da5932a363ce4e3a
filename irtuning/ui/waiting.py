"""Runs that wait: each with its place and a way to cancel it, and the one that trains now."""

from __future__ import annotations

from typing import Any

import gradio as gr

from irtuning.errors import StudioError
from irtuning.ui.studio import Studio
from irtuning.ui.words import plural


def queue_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The queue as the page lists it: the run that trains, then those that wait in their order; empty where none waits.

    Args:
        rows: runs as the store lists them, newest first.
    """
    going = sorted((row for row in rows if row["place"] is not None), key=lambda row: (row["state"] != "running", row["place"]))
    if not any(row["place"] for row in going):
        return []
    return [{"run": row["run"], "name": row["name"], "place": row["place"], "words": _words(row)} for row in going]


def _words(row: dict[str, Any]) -> str:
    if row["state"] == "running":
        return "trains now"
    return f"waits, {plural(row['place'], 'run')} before it" if row["place"] else "is next"


def waiting_list(studio: Studio) -> gr.HTML:
    """The list as one component that asks for news by itself; its `select` event tells the run somebody wants to see."""

    def queue(question: Any = None) -> list[dict[str, Any]]:
        """Any question -> the rows."""
        return queue_rows(studio.store.list())

    def cancel(run: Any) -> dict[str, str]:
        """A run's id -> its state after it was cancelled."""
        try:
            return {"state": str(studio.launcher.stop(str(run)))}
        except StudioError as error:
            return {"error": str(error)}
        except OSError:
            return {"error": "The run could not be cancelled: its folder cannot be written to."}

    return gr.HTML(
        value="",
        html_template="",
        js_on_load="irtuning.waiting(element, trigger, server);",
        server_functions=[queue, cancel],
        elem_id="ir-waiting",
        apply_default_css=False,
    )
