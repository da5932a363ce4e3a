"""Whose machine it is, by what the environment says."""

import pytest

from irtuning.ui.host import local_paths_allowed, share_asked


@pytest.mark.parametrize(
    ("environment", "allowed"),
    [
        ({}, True),
        ({"GRADIO_SERVER_NAME": "127.0.0.1"}, True),
        ({"GRADIO_SERVER_NAME": "127.0.0.9"}, True),
        ({"GRADIO_SERVER_NAME": "localhost"}, True),
        ({"GRADIO_SERVER_NAME": "[::1]"}, True),
        ({"GRADIO_SERVER_NAME": "0.0.0.0"}, False),
        ({"GRADIO_SERVER_NAME": "::"}, False),
        ({"GRADIO_SERVER_NAME": "192.168.1.4"}, False),
        ({"GRADIO_SERVER_NAME": "localhost.example.org"}, False),
        ({"SPACE_ID": "someone/studio"}, False),
        ({"SPACE_ID": "someone/studio", "IRTUNING_HOST": "open"}, True),
        ({"GRADIO_SHARE": "True"}, False),
        ({"COLAB_RELEASE_TAG": "x"}, False),
        ({"IRTUNING_HOST": "strict"}, False),
        ({"IRTUNING_HOST": " Open "}, True),
        ({"IRTUNING_HOST": "opne"}, False),
        ({"IRTUNING_HOST": "open", "GRADIO_SERVER_NAME": "0.0.0.0"}, True),
    ],
)
def test_local_paths(environment, allowed):
    assert local_paths_allowed(environment) is allowed


def test_the_own_environment_is_asked(monkeypatch):
    monkeypatch.setenv("IRTUNING_HOST", "strict")
    assert not local_paths_allowed()
    monkeypatch.setenv("IRTUNING_HOST", "open")
    assert local_paths_allowed()


@pytest.mark.parametrize(("environment", "asked"), [({}, False), ({"GRADIO_SHARE": "True"}, True), ({"GRADIO_SHARE": "no"}, False)])
def test_a_link_for_everybody_is_made_when_asked_for_alone(environment, asked):
    assert share_asked(environment) is asked
