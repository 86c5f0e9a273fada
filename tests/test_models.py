import pytest
import torch
from torch import nn

from backdrop import receptive_field
from backdrop.datasets.augmentation import RandomCrop
from backdrop.models import TextureNet, WhitenedTextureNet
from backdrop.models.texture_net import PositionLayerNorm, StridedConv2d
from backdrop.models.whitened_texture_net import Whitening


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


def smooth_images(n, size):
    """Images whose neighbouring pixels differ by little, so that small eigenvalues are tiny."""
    noise = torch.nn.functional.avg_pool2d(torch.randn(n, 1, size + 8, size + 8), 9, 1)
    return noise / noise.std() + 1


def test_whitening_by_half_leaves_a_quarter_root_of_each_variance():
    images = smooth_images(40, 40)
    variances = []
    for strength in (0.0, 0.5):
        whitening = Whitening(1, strength)
        whitening.fit(images)
        patches = images.unfold(2, 5, 7).unfold(3, 5, 7).flatten(4).flatten(0, 3)
        variances.append((patches @ whitening.filters.flatten(1).T).var(0))
    rotated, by_half = variances
    assert torch.allclose(rotated[-1], torch.tensor(1.0))
    assert torch.allclose(by_half, rotated / (rotated + 1e-5).sqrt(), rtol=1e-2)


@pytest.mark.parametrize("strength", [-0.1, 1.1])
def test_a_strength_that_does_not_exist_is_refused(strength):
    with pytest.raises(ValueError, match=f"from 0 to 1; got {strength}"):
        Whitening(1, strength)


def test_whitening_is_computed_in_float32_under_autocast():
    images = smooth_images(20, 40)
    whitening = Whitening(1)
    whitening.fit(images)
    with torch.autocast("cpu", torch.bfloat16):
        y = whitening(images)
    assert y.dtype == torch.float32
    assert torch.equal(y, whitening(images))


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-5), (torch.bfloat16, 0.05), (torch.float16, 0.05)]
)
def test_the_whitened_net_runs_in_other_dtypes(dtype, tolerance):
    torch.manual_seed(0)
    images, net = smooth_images(8, 64), WhitenedTextureNet(channels=8, norm="layer")
    net.fit_to(images)
    expected = net(images)
    logits = net.to(dtype)(images.to(dtype))
    logits.sum().backward()
    assert logits.dtype == dtype
    assert (logits - expected).norm() < tolerance * expected.norm()


@pytest.mark.parametrize("size", [40, 41])
def test_patches_over_the_edge_of_the_image_are_no_outliers(size):
    images = smooth_images(20, size)
    whitening = Whitening(1)
    whitening.fit(images, every=1)
    y = whitening(images)[:, :25]
    assert y.shape[2:] == ((size + 1) // 2, (size + 1) // 2)
    inside = y[:, :, 1:-1, 1:-1]
    patch = images[3, 0, 2:7, 4:9]  # position (i, j) of the map has its patch centred at (2i, 2j)
    assert torch.allclose(y[3, :, 2, 3], (whitening.filters * patch).sum((1, 2, 3)), atol=1e-3)
    assert (y - torch.nn.functional.pad(inside, (1, 1, 1, 1))).abs().max() == 0


def test_the_whitened_net_couples_neither_samples_nor_distant_positions():
    net = WhitenedTextureNet(channels=8, norm="layer")
    images = smooth_images(2, 64).requires_grad_()
    net.fit_to(images.detach())
    net.fine(images)[1, :, 4, 4].pow(3).sum().backward()
    touched = images.grad.abs().sum(1) > 0
    assert touched.nonzero().amin(0).tolist() == [1, 24, 24]
    assert touched.nonzero().amax(0).tolist() == [1, 40, 40]


@pytest.mark.parametrize("kernel_size", [2, 3])
def test_the_fine_stage_of_the_whitened_net_begins_as_averaging(kernel_size):
    net = WhitenedTextureNet(kernel_size=kernel_size)
    plain = TextureNet(kernel_size=kernel_size)
    for layer, other in zip(net.fine[1:], plain.fine[1:], strict=True):
        weight = layer[0].weight
        assert torch.equal(weight, weight[:, :, :1, :1].expand_as(weight))
        assert weight.std().item() == pytest.approx(other[0].weight.std().item(), rel=0.1)
    kernels = net.coarse[0][0].weight.flatten(2)
    assert (kernels.std(2) > 0).all()


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


@pytest.mark.parametrize("shape", [(1, 1), (4, 1), (1, 4)])
@pytest.mark.parametrize("bfloat16", [False, True])
def test_strided_convolutions_of_one_column_are_those_of_any_other_map(shape, bfloat16):
    torch.manual_seed(0)
    ours = StridedConv2d(4, 8, 3, 2, 1).to(memory_format=torch.channels_last)
    x = torch.randn(6, 4, *shape).to(memory_format=torch.channels_last)
    expected = nn.functional.conv2d(x.double(), *(p.double() for p in ours.parameters()), 2, 1)
    rubbish = [torch.full((2**k,), 3e38) for k in range(10, 17)]  # memory that is used again
    del rubbish
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        y = ours(x)
    tolerance = {"rtol": 0.02, "atol": 0.02} if bfloat16 else {"rtol": 1e-5, "atol": 1e-6}
    torch.testing.assert_close(y.double(), expected, **tolerance)
    (found,) = torch.autograd.grad(y.float().square().sum(), ours.weight)
    (wanted,) = torch.autograd.grad(expected.square().sum(), ours.weight)
    scale = float(wanted.abs().max())
    torch.testing.assert_close(found, wanted, rtol=0.03, atol=(0.03 if bfloat16 else 1e-5) * scale)
