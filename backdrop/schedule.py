"""A probability that changes in the course of training."""

from collections.abc import Iterable
from typing import Protocol

from backdrop.arguments import checked_number


class HasP(Protocol):
    """A layer with a probability p, as Backdrop, ``nn.Dropout`` and DropBlock."""

    p: float


class PSchedule:
    """Moves the p of layers from one value to another over a part of training, along a line.

    Nothing is stored but the arguments: p depends on the progress alone, so a training that goes on
    from a checkpoint needs no state of this.

    Args:
        layers: layers with a ``p``: :class:`~backdrop.Backdrop`, ``torchvision.ops.DropBlock2d``,
            ``nn.Dropout`` or any other; a placement's are ``placement.layers.values()``. They get
            the p of the beginning at once.
        start: p up to ``begin``, in [0, 1).
        end: p from ``finish`` on, in [0, 1).
        begin: the part of training after which p begins to move, in [0, 1).
        finish: the part after which it has arrived, in (0, 1].

    Raises:
        TypeError: if a layer has no p, or an argument is no number.
        ValueError: if there is no layer, a number is out of range, or ``begin`` is not below
            ``finish``.

    Example:
        >>> from backdrop import Backdrop
        >>> layer = Backdrop(0.9)
        >>> schedule = PSchedule([layer], start=0.0, end=0.8, finish=0.5)
        >>> ps = []
        >>> for step in range(5):
        ...     schedule.step(step / 5)
        ...     ps.append(round(layer.p, 2))
        >>> ps
        [0.0, 0.32, 0.64, 0.8, 0.8]
    """

    def __init__(
        self,
        layers: Iterable[HasP],
        start: float,
        end: float,
        begin: float = 0.0,
        finish: float = 1.0,
    ) -> None:
        self.layers = list(layers)
        if not self.layers:
            raise ValueError("layers must hold at least one layer with a p")
        for layer in self.layers:
            if not isinstance(getattr(layer, "p", None), int | float):
                raise TypeError(f"layers must have a probability p, got {layer!r}")
        self.start = checked_number("start", start, "[0, 1)")
        self.end = checked_number("end", end, "[0, 1)")
        self.begin = checked_number("begin", begin, "[0, 1)")
        self.finish = checked_number("finish", finish, "(0, 1]")
        if not self.begin < self.finish:
            raise ValueError(f"begin must be below finish, got {begin!r} and {finish!r}")
        self.step(0.0)

    def p(self, progress: float) -> float:
        """Give p where so much of training is done, in [0, 1]."""
        part = (progress - self.begin) / (self.finish - self.begin)
        # Not start + part * (end - start), which may miss the end by rounding.
        part = min(max(part, 0.0), 1.0)
        return (1 - part) * self.start + part * self.end

    def step(self, progress: float) -> None:
        """Set the p of the layers for where training is; call it before the forward pass.

        Args:
            progress: the part of training that is done, in [0, 1]: steps done over all steps.

        Raises:
            TypeError: if ``progress`` is not a number.
            ValueError: if it lies outside [0, 1].
        """
        p = self.p(checked_number("progress", progress, "[0, 1]"))
        for layer in self.layers:
            layer.p = p

    def __repr__(self) -> str:
        over = f"begin={self.begin}, finish={self.finish}"
        return f"{type(self).__name__}(start={self.start}, end={self.end}, {over})"
