import math

import numpy as np
import torch

from irtuning.tuning.importance import clip_gradients, gradient_norms, layer_scores


def test_score_is_the_root_of_a_sum_of_roots():
    # layer 0: tensors with norms 4 and 9 -> sqrt(2 + 3); layer 1: 16 -> sqrt(4)
    scores = layer_scores(np.array([4.0, 9.0, 16.0]), [0, 0, 1], 2)
    assert scores == [math.sqrt(5), 2.0]


def test_a_layer_without_gradients_is_not_measured_and_a_broken_norm_counts_as_1000():
    scores = layer_scores(np.array([-1.0, math.inf, math.nan]), [0, 1, 2], 4)
    assert scores == [None, math.sqrt(math.sqrt(1000)), math.sqrt(math.sqrt(1000)), None]


def test_norms_of_gradients_and_a_mark_where_there_is_none():
    a, b = torch.nn.Parameter(torch.zeros(2)), torch.nn.Parameter(torch.zeros(3))
    a.grad = torch.tensor([3.0, 4.0])
    assert gradient_norms([a, b]).tolist() == [5.0, -1.0]


def test_a_zero_gradient_is_measured():
    assert layer_scores([0.0], [0], 1) == [0.0]


def test_clipping_is_that_of_torch():
    chance = torch.Generator().manual_seed(1)
    ours, theirs = ([torch.nn.Parameter(torch.zeros(5)) for _ in range(3)] for _ in range(2))
    for a, b in zip(ours[:2], theirs[:2], strict=True):
        a.grad = torch.randn(5, generator=chance)
        b.grad = a.grad.clone()
    for most in (0.5, 100.0):
        clip_gradients(ours, most)
        torch.nn.utils.clip_grad_norm_(theirs, most)
        for a, b in zip(ours[:2], theirs[:2], strict=True):
            assert torch.allclose(a.grad, b.grad)
    clip_gradients(ours[2:], 1.0)  # nothing to clip
