"""IR-Tuning Studio: fine-tune on the layers whose gradient norms stand out.

The public names are loaded when first used, so that importing the package loads neither torch nor transformers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from irtuning.classify import Classifier as Classifier
    from irtuning.config import RunConfig as RunConfig
    from irtuning.tuning.callback import LayerwiseCallback as LayerwiseCallback
    from irtuning.tuning.training import train as train

__version__ = "0.1.0"

_HOMES = {
    "RunConfig": "irtuning.config",
    "train": "irtuning.tuning.training",
    "LayerwiseCallback": "irtuning.tuning.callback",
    "Classifier": "irtuning.classify",
}
__all__ = ["Classifier", "LayerwiseCallback", "RunConfig", "train"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'irtuning' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
