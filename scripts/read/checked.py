"""Read committed files, each checked against the SHA-256 sum that collecting wrote beside it."""

import hashlib
from collections import defaultdict
from pathlib import Path

NAME = "SHA256SUMS"


def read_sums(folder: Path) -> dict[str, set[str]]:
    """Give the sums that each file of a folder may have, none where there are none yet."""
    sums: dict[str, set[str]] = defaultdict(set)
    path = folder / NAME
    for line in path.read_text(errors="replace").splitlines() if path.exists() else []:
        digest, _, name = line.partition("  ")
        sums[name].add(digest)
    return dict(sums)


def read_checked(path: Path) -> bytes:
    """Give the content of a file.

    Raises:
        ValueError: it is not what was collected, with the ways out.
    """
    content, sums = path.read_bytes(), read_sums(path.parent)
    if sums and hashlib.sha256(content).hexdigest() not in sums.get(path.name, ()):
        raise ValueError(
            f"{path} is damaged (its sum is not in {path.parent / NAME}); take it from git again, "
            f"or, if the change is meant, python -m experiments.checksums --renew {path.parent}"
        )
    return content
