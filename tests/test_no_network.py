"""Nothing is asked of any hub, and nobody else is told anything: whole commands under a guard that refuses other machines."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.command_line import ROOT, guarded


def test_the_guard_refuses_and_notes(tmp_path):
    ask = "import urllib.request; urllib.request.urlopen('http://huggingface.co', timeout=5)"
    done = subprocess.run([sys.executable, "-c", ask], env=guarded(tmp_path / "asked"), capture_output=True, text=True, check=False)
    assert "no way to huggingface.co" in done.stderr
    assert (tmp_path / "asked").read_text() == "huggingface.co\n"


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [
    ["train", "--preset", "thirty-seconds", "--max-steps", "2"],
    ["classify", "--before", "He go home.", "--after", "He goes home."],
    ["models"],
], ids=lambda words: words[0])  # fmt: skip
def test_a_command_needs_no_network_and_asks_nobody(tmp_path, arguments):
    done = subprocess.run(
        [sys.executable, "-m", "irtuning", *arguments],
        cwd=ROOT, env=guarded(tmp_path / "asked"), capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (tmp_path / "asked").exists()
