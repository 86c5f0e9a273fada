"""A training step on one image too large for ordinary training, within a limit on memory.

    python -m experiments.bench.large_image --size 8192

draws a two-scale texture, puts masks on a net without batch statistics, and makes updates through
survivors only; with ``--dense``, through the dense backward pass. It prints times and memory.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from backdrop import Backdrop, place, survivors
from backdrop.datasets.textures import TextureCross
from backdrop.models import WhitenedTextureNet
from experiments.bench.memory import high_water_mark
from experiments.bench.table import Row, Setting, noted, rows
from experiments.precision import has_fast_bfloat16

GIB = 2**30
LIMIT = 8  # GiB
P_FINE, P_COARSE = 0.95, 0.9
PROCESS = "peak of the process"
DENSE = "dense mask"
DOES_NOT_FIT = 3  # exit status


def train(image: Tensor, steps: int, dense: bool) -> list[float]:
    """Make updates on one image (1, 1, H, W); give the seconds of each."""
    model = WhitenedTextureNet(channels=64, fine_layers=5, coarse_layers=3)
    model.fit_to(image[..., :1024, :1024])
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    place(
        model,
        {
            "fine": Backdrop(P_FINE, "sample+spatial"),
            "coarse": Backdrop(P_COARSE, "sample+spatial"),
        },
    )
    if not dense:
        survivors(model)
    optimizer = torch.optim.Adam(model.parameters())
    target, seconds = torch.zeros(1, dtype=torch.long), []
    for _ in range(steps):
        begin = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=has_fast_bfloat16("cpu")):
            logits = model(image)
        optimizer.zero_grad()
        nn.functional.cross_entropy(logits, target).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        seconds.append(time.perf_counter() - begin)
    return seconds


def texture(size: int, kept: Path | None) -> Tensor:
    """Draw a texture (1, 1, size, size) of the published lengths, or take the one that is kept."""
    if kept and kept.exists():
        return torch.from_numpy(np.load(kept))
    cross = TextureCross(size, ((9.5, 10), (80, 140)), (0.75, 1.25), "published")
    image = cross.images(seed=0, split="train", indices=range(1))
    if kept:
        np.save(kept, image)
    return torch.from_numpy(image)


def measure(setting: Setting) -> Iterator[list[Row]]:
    """Compare survivors with the dense mask, each in a process of its own."""
    size = 256 if setting.smoke else 8192
    case, columns = f"{size} x {size}", {"p_fine": P_FINE, "p_coarse": P_COARSE, "n": size}
    with tempfile.TemporaryDirectory() as folder:
        for variant, dense in (("survivors", False), (DENSE, True)):
            words = ["--size", str(size), "--image", f"{folder}/image.npy"]
            words += ["--steps", "2", "--threads", str(setting.threads)]
            words += ["--dense"] if dense else []
            done = subprocess.run(
                [sys.executable, "-m", __name__, *words, "--json"], capture_output=True, text=True
            )
            if done.returncode == DOES_NOT_FIT:
                yield [
                    noted("large_image", case, variant, f"does not fit in {LIMIT} GiB", **columns)
                ]
            elif done.returncode:
                raise RuntimeError(f"{variant}: {done.stderr.strip().splitlines()[-1:]}")
            else:
                found = json.loads(done.stdout.splitlines()[-1])
                memory = {variant: float(found["peak_bytes"])}
                times = {variant: found["seconds"]}
                yield rows("large_image", case, times, DENSE, memory, PROCESS, **columns)


def out_of_memory(error: Exception) -> bool:
    """Say whether an error is for want of memory, in the words of PyTorch or of C++."""
    words = ("allocate memory", "bad_alloc", "out of memory")
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the updates and print what they took; give the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--size", type=int, default=8192, help="pixels a side")
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--dense", action="store_true", help="without survivors")
    parser.add_argument("--memory", type=float, default=LIMIT, help="limit in GiB")
    parser.add_argument("--image", type=Path, help="file that keeps the texture")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", action="store_true", help="print numbers for programs")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    limit = int(options.memory * GIB)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    try:
        seconds = train(texture(options.size, options.image), options.steps, options.dense)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        print(f"does not fit in {options.memory:g} GiB")
        return DOES_NOT_FIT
    peak = high_water_mark()
    if options.json:
        print(json.dumps({"seconds": seconds, "peak_bytes": peak}))
    else:
        times = ", ".join(f"{value:.1f} s" for value in seconds)
        print(f"{len(seconds)} steps: {times}; peak memory {peak / GIB:.1f} GiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
