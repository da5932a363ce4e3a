import io

import numpy as np
from PIL import Image

from irtuning.figures.theme import DARK, LIGHT
from irtuning.figures.thumbnail import thumbnail
from irtuning.insight.columns import merge_columns
from irtuning.insight.history import RunHistory
from tests.simulated import plain, simulate


def columns(**run):
    history = RunHistory()
    history.feed(plain(*simulate(**run)))
    return merge_columns(history, 96)


def pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def rgb(colour):
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


def test_one_pixel_a_layer_and_column_input_at_the_bottom():
    assert pixels(thumbnail(columns(layers=5, steps=40), LIGHT)).shape == (5, 40, 3)
    merged = columns(layers=12, steps=1)
    picture = pixels(thumbnail(merged, LIGHT))
    never = set(np.argwhere(np.isnan(merged.norms[0])).ravel())
    assert 0 < len(never) < 12
    assert {layer for layer in range(12) if (picture[11 - layer] == rgb(LIGHT.card)).all()} == never


def test_trained_frozen_and_never_measured_differ():
    merged = columns(layers=12, steps=30)
    picture = pixels(thumbnail(merged, LIGHT))[::-1].transpose(1, 0, 2)
    trained = merged.trained > 0
    seen = np.logical_or.accumulate(~np.isnan(merged.norms), axis=0)

    def colours(mask):
        return {tuple(int(part) for part in pixel) for pixel in picture[mask]}

    vivid, quiet, empty = colours(trained), colours(~trained & seen), colours(~seen)
    assert vivid
    assert quiet
    assert not vivid & quiet
    assert empty <= {rgb(LIGHT.card)}
    assert rgb(LIGHT.card) not in vivid | quiet


def test_of_cosines_the_lowest_stands_out_most():
    merged = columns(layers=12, steps=30, method="full")
    usual, cosine = (pixels(thumbnail(merged, LIGHT, metric=metric))[::-1].transpose(1, 0, 2) for metric in ("gradient", "cosine"))
    low, high = (np.unravel_index(at(merged.ratios), merged.ratios.shape) for at in (np.argmin, np.argmax))
    assert tuple(usual[high]) == tuple(cosine[low]) == rgb(LIGHT.ramp[-1])
    assert tuple(usual[low]) == tuple(cosine[high]) == rgb(LIGHT.ramp[0])


def test_a_long_run_is_merged_and_stays_small():
    data = thumbnail(columns(layers=30, steps=700), DARK)
    assert pixels(data).shape[1] <= 96
    assert len(data) < 8_000


def test_a_run_without_steps_has_no_picture():
    assert thumbnail(merge_columns(RunHistory(), 96), LIGHT) == b""
