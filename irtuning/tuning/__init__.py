"""The method: models with adapters, layers, importance, selection, training. Knows no gradio, no plotly, no folder layout of runs."""
