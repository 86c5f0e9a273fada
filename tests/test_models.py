import pytest
import torch

from backdrop import receptive_field
from backdrop.datasets.augmentation import RandomCrop
from backdrop.models import TextureNet, WhitenedTextureNet
from backdrop.models.texture_net import PositionLayerNorm, Whitening


@pytest.mark.parametrize("net", [TextureNet, WhitenedTextureNet])
@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
def test_nets_map_images_to_logits(net, norm):
    assert net(classes=5, channels=4, norm=norm)(torch.randn(2, 1, 64, 64)).shape == (2, 5)


@pytest.mark.parametrize(("kernel", "fine", "coarse"), [(3, 65, 513), (2, 35, 259)])
def test_the_demonstration_net_sees_what_the_authors_net_sees(kernel, fine, coarse):
    net = TextureNet(channels=2, fine_layers=5, coarse_layers=3, kernel_size=kernel, norm="none")
    fields = receptive_field(net, (1, 1, 1024, 1024))
    assert (fields["fine"].size[0], fields["fine"].stride[0]) == (fine, 32)
    assert (fields["coarse"].size[0], fields["coarse"].stride[0]) == (coarse, 256)


@pytest.mark.parametrize("net", [TextureNet, WhitenedTextureNet])
def test_the_small_nets_see_the_scales_that_their_configuration_says(net):
    fields = receptive_field(net(), (1, 1, 256, 256))
    assert [fields[stage].size[0] for stage in ("fine", "coarse")] == [17, 129]


def test_an_unknown_norm_is_refused():
    with pytest.raises(ValueError, match="batch, layer, none; got 'group'"):
        TextureNet(norm="group")


def test_position_layer_norm_couples_neither_samples_nor_positions():
    norm, x = PositionLayerNorm(4), torch.randn(2, 4, 3, 3, requires_grad=True)
    y = norm(x)
    assert torch.allclose(y.mean(1), torch.zeros(2, 3, 3), atol=1e-6)
    y[1, :, 2, 0].pow(3).sum().backward()
    touched = x.grad.abs().sum(1) > 0
    assert touched.nonzero().tolist() == [[1, 2, 0]]


def test_whitening_gives_the_patches_it_was_fitted_to_unit_covariance():
    images = torch.randn(40, 1, 40, 40).cumsum(2).cumsum(3) / 20
    whitening = Whitening(1)
    whitening.fit(images, every=1)
    patches = images.unfold(2, 5, 1).unfold(3, 5, 1).flatten(4).flatten(0, 3)
    white = patches @ whitening.filters.flatten(1).T
    variance = torch.cov(white.T)
    values = torch.linalg.eigvalsh(torch.cov(patches.double().T))
    expected = (values / (values + 1e-5 * values[-1])).float()
    assert torch.allclose(variance, expected.diag(), atol=0.02)


def test_whitening_keeps_both_signs_and_is_not_learnt():
    whitening = Whitening(1)
    whitening.fit(torch.randn(4, 1, 40, 40))
    y = whitening(torch.randn(2, 1, 20, 20))
    assert y.shape == (2, 50, 10, 10)
    assert torch.equal(y[:, :25], -y[:, 25:])
    assert not list(whitening.parameters())
    assert "filters" in whitening.state_dict()


def test_crops_are_parts_of_their_image_and_keep_its_target():
    images = torch.arange(3 * 2 * 64.0).view(3, 2, 8, 8)
    crops, targets = RandomCrop(5, 4)(images, torch.tensor([7, 8, 9]), torch.Generator())
    assert crops.shape == (12, 2, 5, 5)
    assert targets.tolist() == [7] * 4 + [8] * 4 + [9] * 4
    for i, crop in enumerate(crops):
        windows = (
            images[i // 4].unfold(1, 5, 1).unfold(2, 5, 1).permute(1, 2, 0, 3, 4).flatten(0, 1)
        )
        assert (windows == crop).flatten(1).all(1).any()


def test_crops_depend_on_the_generator_only():
    images, crop = torch.randn(2, 1, 9, 9), RandomCrop(3, 2)
    draws = [
        crop(images, torch.zeros(2), torch.Generator().manual_seed(seed))[0] for seed in (0, 0, 1)
    ]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


@pytest.mark.parametrize("size", [0, 10])
def test_a_crop_that_does_not_fit_is_refused(size):
    with pytest.raises(ValueError, match=f"size.*got {size}"):
        RandomCrop(size)(torch.randn(1, 1, 9, 9), torch.zeros(1), torch.Generator())
