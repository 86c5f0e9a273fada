import numpy as np
import pytest

from backdrop.datasets.subsets import draw, one_against_rest, proportional, without

TARGETS = np.repeat([0, 1, 2], [50, 30, 20])


def test_a_draw_has_the_counts_asked_for_and_no_row_twice():
    rows = draw(TARGETS, {0: 4, 2: 20}, 0, "name")
    assert np.bincount(TARGETS[rows], minlength=3).tolist() == [4, 0, 20]
    assert (np.diff(rows) > 0).all()


def test_a_smaller_draw_is_a_part_of_a_larger_one_and_seeds_and_names_change_it():
    small, large = (set(draw(TARGETS, {0: n}, 0, "name").tolist()) for n in (10, 20))
    assert small < large
    for seed, name in ((1, "name"), (0, "other")):
        assert set(draw(TARGETS, {0: 10}, seed, name).tolist()) != small


def test_rows_taken_out_are_not_drawn():
    taken = draw(TARGETS, {0: 30, 1: 10}, 0, "first")
    left = without(taken, np.ones(100, bool))
    assert not set(draw(TARGETS, {0: 20, 1: 20}, 0, "second", among=left)) & set(taken)
    with pytest.raises(ValueError, match="a/b: 21 rows of target 0 are wanted and 20 are left"):
        draw(TARGETS, {0: 21}, 0, "a", "b", among=left)


@pytest.mark.parametrize(
    ("size", "counts"), [(10, (5, 3, 2)), (11, (6, 3, 2)), (13, (6, 4, 3)), (100, (50, 30, 20))]
)
def test_proportional_counts_add_up_and_give_what_is_left_to_the_largest_remainders(size, counts):
    assert proportional(TARGETS, size) == dict(enumerate(counts))


def test_positives_are_a_fraction_of_the_set_but_never_fewer_than_stated():
    assert one_against_rest("train", 1000, 0.01, 1) == {0: 990, 1: 10}
    assert one_against_rest("test", 1000, 0.01, 100) == {0: 900, 1: 100}
    with pytest.raises(ValueError, match="test must be larger than its 100 positives; got 100"):
        one_against_rest("test", 100, 0.01, 100)
