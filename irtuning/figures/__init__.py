"""Figures: values in, plotly figures out, as the plain data plotly's JavaScript takes. Pure; knows no run, no page, no file."""
