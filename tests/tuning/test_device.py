import pytest
import torch

from irtuning.errors import ConfigError
from irtuning.tuning.device import choose_device, computes_in_bfloat16, memory_mib, out_of_memory, peak_memory_mib


def test_auto_takes_bfloat16_only_where_it_is_computed_in():
    device = choose_device("cpu")
    assert device.dtype == ("bfloat16" if computes_in_bfloat16("cpu") else "float32")
    assert choose_device("cpu", "float32").torch_dtype.itemsize == 4
    assert device.name.endswith(("core", "cores"))


def test_a_device_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ConfigError, match="no cuda device"):
        choose_device("cuda")


def test_memory_is_measured():
    assert 50 < memory_mib("cpu") <= peak_memory_mib("cpu") * 1.05


def test_another_error_is_not_taken_for_one_of_memory():
    assert out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"))
    assert out_of_memory(MemoryError())
    assert not out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
