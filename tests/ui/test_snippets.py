import shlex

import pytest

from irtuning.__main__ import app
from irtuning.catalogue import PRESETS
from irtuning.config import RunConfig, parse_config
from irtuning.ui.snippets import command, python


def flags(config):
    """A command's flags as a request again."""
    words = shlex.split(command(config).replace("\\\n", " "))
    assert words[:4] == ["python", "-m", "irtuning", "train"]
    values, rest = {}, words[4:]
    while rest:
        name = rest.pop(0).removeprefix("--")
        negative = name.startswith("no-")
        key = name.removeprefix("no-").replace("-", "_")
        if negative or not rest or rest[0].startswith("--"):
            values[key] = not negative
        else:
            values[key] = rest.pop(0)
    return values


def taken(config):
    """The request that the command line makes of a command."""
    words = shlex.split(command(config).replace("\\\n", " "))
    _, bound, _ = app.parse_args(words[3:], exit_on_error=False, print_error=False)
    return bound.arguments.get("config", RunConfig()), bound.arguments.get("preset")


@pytest.mark.parametrize("preset", [None, *PRESETS])
def test_the_command_line_makes_the_same_run_of_it(preset):
    asked = RunConfig(model_name="minilm", dataset_name="starter", learning_rate=3e-4, use_instruction=False, cache_prefix=False)
    asked = asked.with_preset(preset) if preset else asked
    config, named = taken(asked)
    assert (config.with_preset(named) if named else config).resolve() == asked.resolve()


def test_only_what_somebody_set_is_in_the_command():
    assert flags(RunConfig(model_name="qwen3-0.6b", dataset_name="starter", learning_rate=1e-4, use_instruction=True)) == {
        "model_name": "qwen3-0.6b", "dataset_name": "starter", "learning_rate": "0.0001", "use_instruction": True,
    }


def test_a_preset_stands_for_its_values_and_what_differs_follows():
    assert flags(RunConfig().with_preset("thirty-seconds")) == {"preset": "thirty-seconds"}
    assert flags(RunConfig(max_steps=9).with_preset("real-llm")) == {"preset": "real-llm", "max_steps": "9"}
    assert flags(RunConfig().with_preset("paper")) == {"preset": "paper"}


def test_a_switch_turned_off_is_its_no_flag():
    assert flags(RunConfig(model_name="llama3.1-8b", dataset_name="starter", use_instruction=False))["use_instruction"] is False


def test_names_are_quoted_and_paths_of_this_machine_reduced():
    asked = RunConfig(model_name="minilm", dataset_name="/tmp/some where/my file.csv", label_column="why; rm -rf ~")
    assert flags(asked)["dataset_name"] == "my file.csv"
    assert flags(asked)["label_column"] == "why; rm -rf ~"
    assert "/tmp" not in command(asked) + python(asked)


def test_the_python_is_python_for_the_same_request():
    asked = RunConfig(model_name="minilm", dataset_name="starter", use_instruction=False, lora_dropout=0.1, label_column='a"b')
    made = {}
    code = python(asked)
    before_training = code[code.index("RunConfig(\n") : code.index("result")]
    exec("config = " + before_training, {"RunConfig": RunConfig}, made)
    assert made["config"] == parse_config(asked.model_dump(exclude_none=True))
    compile(code, "snippet", "exec")
