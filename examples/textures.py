"""Train one small net on two-scale textures, without masks and with one at each scale.

    python examples/textures.py --bfloat16

Test errors of seeds 0, 1 and 2: 0.250, 0.105 and 0.118 without masks, 0.110, 0.108 and 0.023 with
them. Three pairs decide nothing; ten of the same contrast are in results/laptop/REPORT.md. A net
took 2 to 10 minutes on a shared, busy machine of two cores.
"""

import argparse
import time

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backdrop import Backdrop, TextureCross, place
from backdrop.models import TextureNet

Split = tuple[Tensor, Tensor]


def main(arguments: list[str] | None = None) -> dict[str, list[float]]:
    """Print and give the test errors of both arms, one for each seed."""
    options = parse(arguments)
    cross = TextureCross(
        size=options.size,
        lengths=((2.375, 2.75), (20.0, 35.0)),  # correlation lengths in pixels: 2 x 2 classes
        weights=(0.75, 1.25),
        construction="gaussian",
    )
    errors: dict[str, list[float]] = {"no masks": [], "masks at both scales": []}
    for seed in range(options.seeds):
        train = draw(cross, seed, "train", options.images)
        test = draw(cross, 0, "test", options.test)  # the same images for every seed
        for arm, found in errors.items():
            start = time.perf_counter()
            model = build(seed, options, masked=arm != "no masks")
            fit(model, train, options)
            found.append(error(model, test))
            seconds = time.perf_counter() - start
            print(f"seed {seed}, {arm}: test error {found[-1]:.3f}, {seconds:.0f} s", flush=True)
    for arm, found in errors.items():
        print(f"{arm}: mean test error {sum(found) / len(found):.3f} over {len(found)} seeds")
    return errors


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Give the options, by default those of the experiment textures/laptop."""
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="pairs of runs")
    parser.add_argument("--epochs", type=int, default=80, help="passes over the images")
    parser.add_argument("--fine", type=float, default=0.5, help="probability of the fine mask")
    parser.add_argument("--coarse", type=float, default=0.5, help="probability of the coarse mask")
    parser.add_argument("--lr", type=float, default=0.01, help="Adam's learning rate")
    parser.add_argument("--size", type=int, default=256, help="pixels a side")
    parser.add_argument("--images", type=int, default=100, help="training images")
    parser.add_argument("--test", type=int, default=400, help="test images")
    parser.add_argument("--channels", type=int, default=32, help="width of the net")
    parser.add_argument("--bfloat16", action="store_true", help="faster where the processor can")
    return parser.parse_args(arguments)


def draw(cross: TextureCross, seed: int, split: str, count: int) -> Split:
    """Draw images (N, 1, size, size) and their classes (N,)."""
    images = torch.from_numpy(cross.images(seed, split, range(count)))
    return images, torch.from_numpy(cross.labels(range(count)))


def build(seed: int, options: argparse.Namespace, masked: bool) -> nn.Module:
    """Give a net, the same for every arm of a seed, and its masks if it is to have any."""
    torch.manual_seed(seed)
    model = TextureNet(classes=4, channels=options.channels)
    if masked:  # after the stages that see 17 and 129 pixels
        fine = Backdrop(options.fine, "sample+spatial")
        coarse = Backdrop(options.coarse, "sample+spatial")
        place(model, {"fine": fine, "coarse": coarse})
    return model.to(memory_format=torch.channels_last)


def fit(model: nn.Module, train: Split, options: argparse.Namespace) -> None:
    """Train by Adam in batches of 20; the rate rises for a twentieth of training, then falls."""
    images, classes = train
    optimizer = torch.optim.Adam(model.parameters(), options.lr)
    steps = options.epochs * -(-len(images) // 20)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, options.lr, steps, pct_start=0.05, cycle_momentum=False
    )
    model.train()
    for _ in range(options.epochs):
        for batch in torch.randperm(len(images)).split(20):
            with torch.autocast("cpu", torch.bfloat16, enabled=options.bfloat16):
                loss = F.cross_entropy(model(images[batch]), classes[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


@torch.no_grad()
def error(model: nn.Module, test: Split) -> float:
    """Give the share of images that a trained net takes for another class."""
    model.eval()
    images, classes = test
    guesses = torch.cat([model(batch).argmax(1) for batch in images.split(100)])
    return (guesses != classes).double().mean().item()


if __name__ == "__main__":
    main()
