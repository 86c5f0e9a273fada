import numpy as np
import pytest

from backdrop.datasets.subsets import check_room, draw, one_against_rest, proportional, without

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
    assert one_against_rest({"train": 1000, "test": 1000}, 0.01, 100) == {
        "train": {0: 990, 1: 10},
        "test": {0: 900, 1: 100},
    }
    assert one_against_rest({"train": 20}, 0.01, 100) == {"train": {0: 19, 1: 1}}
    with pytest.raises(ValueError, match="test must be larger than its 100 positives; got 100"):
        one_against_rest({"test": 100}, 0.01, 100)


def test_sets_that_share_rows_must_fit_together():
    rooms = {("train", "validation"): 10, ("test",): 5}
    check_room({"train": 6, "validation": 4, "test": 5}, rooms)
    with pytest.raises(ValueError, match=r"^train \+ validation must be at most 10; got 6 \+ 5$"):
        check_room({"train": 6, "validation": 5, "test": 5}, rooms)
    with pytest.raises(ValueError, match=r"^test must be at most 5; got 6$"):
        check_room({"train": 6, "validation": 4, "test": 6}, rooms)
    with pytest.raises(ValueError, match="validation must be at least 1; got 0"):
        check_room({"train": 6, "validation": 0, "test": 6}, rooms)
