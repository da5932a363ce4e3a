"""The method: models with adapters, layers, importance, selection, training. Knows no gradio, no plotly, no folder layout of runs."""

import logging

# peft loads bitsandbytes wherever it is installed, for any model. What it says of kernels that it lacks and of numbers that it
# casts, nobody who trains or classifies can do anything about.
for _part in ("backends.cpu.ops", "autograd._functions"):
    logging.getLogger(f"bitsandbytes.{_part}").setLevel(logging.ERROR)
