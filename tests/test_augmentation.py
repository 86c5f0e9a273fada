import pytest
import torch

from backdrop.datasets.augmentation import ShiftAndFlip


def drawn(seed=0):
    return torch.Generator().manual_seed(seed)


def places(images):
    """Give the row and column of the one bright pixel of each image."""
    return torch.stack(torch.unravel_index(images[:, 0].flatten(1).argmax(1), images.shape[-2:]), 1)


def test_shifts_are_all_those_up_to_the_pixels_asked_for():
    images = torch.zeros(2000, 3, 9, 11)
    images[:, :, 4, 5] = 1
    shifted, _ = ShiftAndFlip(2, flip=False)(images, torch.zeros(2000), drawn())
    shifts, counts = (places(shifted) - torch.tensor([4, 5])).unique(dim=0, return_counts=True)
    assert shifts.tolist() == [[a, b] for a in range(-2, 3) for b in range(-2, 3)]
    assert counts.min() > 40
    assert torch.equal(shifted.sum((1, 2, 3)), torch.full((2000,), 3.0))


def test_half_of_the_images_are_mirrored_left_to_right():
    images = torch.randn(1000, 3, 4, 6)
    changed, _ = ShiftAndFlip(0)(images, torch.zeros(1000), drawn())
    mirrored = (changed == images.flip(-1)).flatten(1).all(1)
    assert 450 < mirrored.sum() < 550
    assert torch.equal(changed[~mirrored], images[~mirrored])


def test_a_shift_uncovers_zeros():
    images = torch.ones(100, 1, 5, 5)
    shifted, _ = ShiftAndFlip(5)(images, torch.zeros(100), drawn())
    assert set(shifted.unique().tolist()) == {0.0, 1.0}


def test_targets_stay_and_the_generator_decides():
    images, targets = torch.randn(8, 3, 6, 6), torch.arange(8)
    augment = ShiftAndFlip(2)
    first, kept = augment(images, targets, drawn())
    assert first.shape == images.shape
    assert torch.equal(kept, targets)
    assert torch.equal(first, augment(images, targets, drawn())[0])
    assert not torch.equal(first, augment(images, targets, drawn(1))[0])


def test_a_negative_shift_is_refused():
    with pytest.raises(ValueError, match="pixels must be at least 0; got -1"):
        ShiftAndFlip(-1)
