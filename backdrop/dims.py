"""Which dims of a tensor are meant: by numbers, or by the names sample, channel, spatial, token."""

from collections.abc import Sequence

Dims = str | int | Sequence[int]

NAMED_DIMS = ("sample", "channel", "spatial", "token")


def checked_dims(dims: Dims) -> str | tuple[int, ...]:
    """Return ``dims`` if they can be the dims of some input: a name, or numbers as a tuple."""
    if isinstance(dims, str):
        names = dims.split("+")
        if not set(names) <= set(NAMED_DIMS) or len(set(names)) < len(names):
            raise ValueError(f"dims must join different ones of {NAMED_DIMS} by '+', got {dims!r}")
        if "token" in names and not set(names) <= {"sample", "token"}:
            raise ValueError(
                "dims='token' are those between the first and the last, which holds the channels: "
                f"they join 'sample' alone, got {dims!r}"
            )
        return dims
    numbers = (dims,) if isinstance(dims, int) else dims
    if not isinstance(numbers, Sequence) or not all(type(dim) is int for dim in numbers):
        raise TypeError(f"dims must be a name, an int or a sequence of ints, got {dims!r}")
    if not numbers or len(set(numbers)) < len(numbers):
        raise ValueError(f"dims must name at least one dim and each of them once, got {dims!r}")
    return tuple(numbers)


def resolve_dims(dims: str | tuple[int, ...], ndim: int) -> set[int]:
    """Give the masked dims of an input with ``ndim`` dims as numbers from 0 on.

    >>> resolve_dims("sample+spatial", 4)
    {0, 2, 3}
    >>> resolve_dims("sample+token", 3)
    {0, 1}
    """
    lacking = f"dims={dims!r} do not all exist in an input with {ndim} dims"
    if isinstance(dims, tuple):
        if not all(-ndim <= dim < ndim for dim in dims):
            raise ValueError(f"{lacking}: numbers from {-ndim} to {ndim - 1} do")
        masked = {dim % ndim for dim in dims}
        if len(masked) < len(dims):
            raise ValueError(f"dims={dims!r} name one dim twice in an input with {ndim} dims")
        return masked
    ranges = {
        "sample": range(1),
        "channel": range(1, 2),
        "spatial": range(2, max(ndim, 3)),
        "token": range(1, max(ndim - 1, 2)),
    }
    masked = {dim for name in dims.split("+") for dim in ranges[name]}
    least = 3 if "token" in dims else max(masked) + 1
    if ndim < least:
        raise ValueError(
            f"{lacking}: 'sample' is dim 0, 'channel' dim 1, 'spatial' 2 and above, and 'token' "
            "those between the first and the last"
        )
    return masked
