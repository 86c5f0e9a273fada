"""SHA-256 sums of what has been written: SHA256SUMS in a folder, a last line in a single file.

    python -m experiments.checksums --renew FOLDER …

takes the files of folders as they are now: after a change by hand, or where sums are missing.
``sha256sum -c SHA256SUMS`` checks a folder without Python.
"""

import argparse
import errno
import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

NAME = "SHA256SUMS"
SEALED = ("*.csv", "*.json", "*.jsonl", "*.npz", "config.yaml")
"""What a folder's sums are of when they are first written, or renewed."""

_MARK = b"\nsha256 "
_LENGTH = len(_MARK) + 64 + 1


class Damaged(ValueError):
    """A file that is not what was written; the message begins with its path."""


def digest(content: bytes) -> str:
    """Give the SHA-256 sum in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def sealed(content: bytes) -> bytes:
    """Give the content of a single file with its sum as a last line."""
    return content + _MARK + digest(content).encode() + b"\n"


def unsealed(content: bytes) -> bytes | None:
    """Undo ``sealed``; nothing if the sum is another, or there is none."""
    body = content[:-_LENGTH]
    return body if sealed(body) == content else None


def read_checked(path: Path, way_out: str = "") -> bytes | None:
    """Read a file, if it is there, and check it against the sums of its folder, if this has any.

    Raises:
        Damaged: another sum, no sum among those there are, or no file though there is a sum.
    """
    sums = read_sums(path.parent)
    way_out = way_out or (
        "take it from git again, or, if the change is meant, "
        f"python -m experiments.checksums --renew {path.parent}"
    )
    if not path.exists():
        if path.name in sums:
            raise Damaged(f"{path} is damaged (it is missing, {NAME} names it); {way_out}")
        return None
    content = path.read_bytes()
    if sums and digest(content) not in sums.get(path.name, ()):
        raise Damaged(f"{path} is damaged (its sum is not in {path.parent / NAME}); {way_out}")
    return content


def read_sums(folder: Path) -> dict[str, tuple[str, ...]]:
    """Give the sums that each file of a folder may have: one, or two while it is replaced."""
    sums: dict[str, tuple[str, ...]] = {}
    path = folder / NAME
    lines = path.read_text(errors="replace").split("\n") if path.exists() else []
    for line in filter(None, lines):
        of_file, _, name = line.partition("  ")
        sums[name] = (*sums.get(name, ()), of_file)
    return sums or ({NAME: ()} if path.exists() else {})


def write_checked(path: Path, content: bytes) -> None:
    """Replace a file and its sum so that at every moment each is whole and they agree.

    Where the folder has no sums yet, they are written of all its files.
    """
    sums = read_sums(path.parent) or sums_of(path.parent)
    new = (digest(content),)
    write_sums(path.parent, {**sums, path.name: (*sums.get(path.name, ()), *new)})
    write_atomically(path, content)
    write_sums(path.parent, {**sums, path.name: new})


def write_sums(folder: Path, sums: Mapping[str, Iterable[str]]) -> None:
    """Write the sums of a folder's files, by name."""
    lines = [f"{of_file}  {name}\n" for name in sorted(sums) for of_file in sums[name]]
    write_atomically(folder / NAME, "".join(lines).encode())


def sums_of(folder: Path) -> dict[str, tuple[str, ...]]:
    """Give the sums of a folder's files as these are now."""
    paths = {path for pattern in SEALED for path in folder.glob(pattern)}
    return {path.name: (digest(path.read_bytes()),) for path in paths}


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is seen whole or not at all, also after a crash.

    What a killed process has left of an earlier attempt is removed.

    Raises:
        OSError: with the path, also where a full disk leaves it out.
    """
    for old in path.parent.glob(f"{path.name}.*.tmp"):
        if not _alive(old.name.split(".")[-2]):
            old.unlink(missing_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise with_path(error, path) from error


def with_path(error: OSError, path: Path) -> OSError:
    """Give an error of the system that names the file."""
    return OSError(error.errno or errno.EIO, error.strerror or str(error), str(path))


def _alive(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, ValueError):
        return False
    except OSError:  # it is another user's
        return True
    return True


def main() -> None:
    """Parse the command line and renew."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--renew", nargs="+", type=Path, required=True, metavar="FOLDER")
    for folder in parser.parse_args().renew:
        if not folder.is_dir():
            parser.error(f"--renew: {folder} is no folder")
        found = sums_of(folder)
        write_sums(folder, found)
        print(f"{folder / NAME}: {len(found)} files")


if __name__ == "__main__":
    main()
