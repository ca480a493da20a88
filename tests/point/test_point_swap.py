"""The swap test on networks whose answers are known to be carried by one part, by two, or by none."""

import numpy as np
import pytest
import torch

from geophone.errors import InputError
from geophone.point.swap import Pair, Piece, mixed, parts_of, swap_test


def weights(**values):
    return {f"{name}.weight": torch.tensor([float(v) for v in value]) for name, value in values.items()}


def answers(w):
    """Samples 0-3 are answered by what a and b hold together, samples 4-7 by c."""
    first = float(w["a.weight"][0] + w["b.weight"][0])
    return np.array([first] * 4 + [float(w["c.weight"][0])] * 4)


BEFORE = weights(a=[0.1, 0], b=[0.0, 0], c=[0.9, 0])
PARTS = parts_of(["a", "b", "c"], BEFORE)


def test_the_part_that_carries_the_gain_is_named_and_nothing_else_falls():
    after = weights(a=[0.9, 5], b=[0.0, 7], c=[0.95, 3])
    quiet = Pair(weights(a=[0.9, 0], b=[0, 0], c=[0.9, 0]), weights(a=[0.9, 9], b=[0, 9], c=[0.9, 9]))
    test = swap_test(Pair(BEFORE, after), answers, PARTS, own=[0, 1, 2, 3], controls=[quiet, quiet])
    assert test.named.part == "a" and test.named.share == pytest.approx(1) and test.named.reverse == pytest.approx(1)
    assert test.named.spill == pytest.approx(0) and test.named.controls == pytest.approx((0, 0))
    assert [s.share for s in test.swaps[1:]] == pytest.approx([0, 0])
    assert test.swaps[2].spill == pytest.approx(0.05)
    assert test.together == ("a",)


def test_a_gain_that_two_parts_carry_is_shared():
    after = weights(a=[0.5, 0], b=[0.4, 0], c=[0.9, 0])
    test = swap_test(Pair(BEFORE, after), answers, PARTS, own=[0, 1])
    assert [s.share for s in test.swaps] == pytest.approx([0.5, 0.5, 0])
    assert set(test.together) == {"a", "b"} and test.together_share == pytest.approx(1)


def test_a_control_s_fall_is_a_share_of_the_gain():
    after = weights(a=[0.5, 0], b=[0.0, 0], c=[0.9, 0])
    moved = Pair(weights(a=[0.1, 0], b=[0, 0], c=[0.9, 0]), weights(a=[0.2, 0], b=[0, 0], c=[0.9, 0]))
    test = swap_test(Pair(BEFORE, after), answers, PARTS, own=[0, 1], controls=[moved])
    assert test.gain == pytest.approx(0.4) and test.named.controls == pytest.approx((0.25,))


def test_what_is_lost_is_shared_alike():
    lost = swap_test(Pair(weights(a=[0.9], b=[0], c=[0.9]), weights(a=[0.1], b=[0], c=[0.9])), answers, PARTS, own=[0])
    assert lost.gain == pytest.approx(-0.8) and lost.named.part == "a" and lost.named.share == pytest.approx(1)


def test_rows_of_one_tensor_are_a_part_and_the_weights_stay_as_they_are():
    after = weights(a=[0.9, 5], b=[0, 0], c=[0.9, 0])
    row = Piece("a.head1", (("a.weight", slice(1, 2)),))
    mixture = mixed(after, BEFORE, [row])
    assert mixture["a.weight"].tolist() == pytest.approx([0.9, 0]) and after["a.weight"].tolist() == pytest.approx(
        [0.9, 5]
    )
    assert swap_test(Pair(BEFORE, after), answers, [row], own=[0]).named.share == pytest.approx(0)


def test_parts_follow_module_paths_and_block_updates_are_their_blocks():
    state = {"blocks.1.w": torch.zeros(1), "blocks.10.w": torch.zeros(1), "head.bias": torch.zeros(1)}
    parts = parts_of(["blocks.1", "blocks.1+", "blocks.10", "relu"], state)
    assert [(p.name, p.entries[0][0]) for p in parts] == [("blocks.1", "blocks.1.w"), ("blocks.10", "blocks.10.w")]


def test_nothing_gained_and_nothing_to_swap_are_said():
    with pytest.raises(InputError, match="nothing to share"):
        swap_test(Pair(BEFORE, BEFORE), answers, PARTS, own=[0])
    with pytest.raises(InputError, match="one part or more"):
        swap_test(Pair(BEFORE, BEFORE), answers, [], own=[0])
