"""Which device trains and in which numbers. `python -m irtuning.tuning.device` prints it as one JSON object.

Knows no model. bfloat16 is chosen only where the device computes in it: emulated, it is slower than float32.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass

import psutil
import torch


@dataclass(frozen=True)
class Device:
    """A place to train.

    Attributes:
        device: `cuda`, `mps` or `cpu`. name: for people. dtype: numbers of the frozen model, `bfloat16` or `float32`.
        cores: CPU cores this process may use. memory_gib: of the machine. gpu_memory_gib: of the accelerator, None without.
    """

    device: str
    name: str
    dtype: str
    cores: int
    memory_gib: float
    gpu_memory_gib: float | None

    @property
    def torch_device(self) -> torch.device:
        """As torch wants it."""
        return torch.device(self.device)

    @property
    def torch_dtype(self) -> torch.dtype:
        """As torch wants it."""
        return getattr(torch, self.dtype)


def choose_device(device: str = "auto", dtype: str = "auto") -> Device:
    """The device a run gets.

    Args:
        device: auto, cpu, cuda or mps; one that is not there falls back to the CPU's place only when auto.
        dtype: auto, float32 or bfloat16.

    Raises:
        ConfigError: the device asked for is not there.
    """
    from irtuning.errors import ConfigError

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        device = next(name for name in ("cuda", "mps", "cpu") if there[name])
    elif not there[device]:
        raise ConfigError(f"There is no {device} device on this machine.", "Leave the device on auto, or choose cpu.")
    if dtype == "auto":
        dtype = "bfloat16" if computes_in_bfloat16(device) else "float32"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    gpu = torch.cuda.get_device_properties(0).total_memory / 2**30 if device == "cuda" else None
    name = {"cuda": lambda: torch.cuda.get_device_name(0), "mps": lambda: "Apple GPU"}.get(
        device, lambda: f"{cores} CPU core{'s' if cores > 1 else ''}"
    )()
    return Device(device, name, dtype, cores, round(psutil.virtual_memory().total / 2**30, 1), gpu and round(gpu, 1))


def computes_in_bfloat16(device: str) -> bool:
    """Whether the device has bfloat16 arithmetic of its own."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return False


def memory_mib(device: str) -> float:
    """Memory a step takes: the most allocated so far on a CUDA device, where a step's own is gone at its end; what is resident in
    this process elsewhere; MiB. No synchronisation."""
    if device == "cuda":
        return peak_memory_mib(device)
    return round(psutil.Process().memory_info().rss / 2**20, 1)


def peak_memory_mib(device: str) -> float:
    """Highest memory so far: allocated on a CUDA device, resident in this process elsewhere; MiB."""
    if device == "cuda":
        return round(torch.cuda.max_memory_allocated() / 2**20, 1)
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)


def forget_peak_memory() -> None:
    """Counts a CUDA device's highest memory from now on: an earlier run's in this process is not this one's."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the memory ran out, on whatever device."""
    text = str(error).lower()
    told = ("out of memory", "can't allocate memory", "cublas_status_alloc_failed")
    return isinstance(error, MemoryError) or any(words in text for words in told)


def give_back_memory(device: str = "cpu") -> None:
    """Hands free memory back to the system: of the C library's heap, where it is glibc's, and what torch keeps of a GPU's.

    Batches of ever other lengths leave holes in the heap: resident memory would creep up by half in a hundred steps.
    """
    import ctypes

    if device == "cuda":
        torch.cuda.empty_cache()
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return
    trim(0)


if __name__ == "__main__":
    print(json.dumps(asdict(choose_device())))
