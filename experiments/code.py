"""With what code a run was made: its commit, and a digest of what was not committed.

``1f2e3d4c5b6a`` is the code of a commit, ``1f2e3d4c5b6a+0a1b2c3d`` with changed or new files of the
library or the runner, ``unknown`` outside git. Earlier runs say ``1f2e3d4c5b6a+`` for that.
"""

import hashlib
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("backdrop", "experiments")
UNKNOWN = "unknown"


def _git(folder: Path, *words: str) -> bytes:
    return subprocess.run(["git", *words], cwd=folder, capture_output=True, check=True).stdout


def code_of(root: Path) -> str:
    """Name the code in a working tree."""
    try:
        commit = _git(root, "rev-parse", "--short=12", "HEAD").decode().strip()
        changes = _git(root, "diff", "--no-ext-diff", "--binary", "HEAD", "--", *SOURCES)
        new = _git(root, "ls-files", "-z", "--others", "--exclude-standard", "--", *SOURCES)
    except (OSError, subprocess.CalledProcessError):
        return UNKNOWN
    files = [name for name in new.decode().split("\0") if name]
    if not changes and not files:
        return commit
    whole = hashlib.sha256(changes)
    for name in files:
        whole.update(name.encode() + b"\0" + (root / name).read_bytes())
    return f"{commit}+{whole.hexdigest()[:8]}"


CODE = code_of(ROOT)  # of this process, whatever is committed while it runs


@cache
def differs(code: str, from_code: str = CODE, root: Path = ROOT) -> bool:
    """Tell whether two names stand for different code; not known where either is unknown.

    Commits that changed neither the library nor the runner are the same code.
    """
    if code == from_code or UNKNOWN in (code, from_code):
        return False
    if "+" in code + from_code:
        return True
    try:
        _git(root, "diff", "--quiet", code, from_code, "--", *SOURCES)
    except (OSError, subprocess.CalledProcessError):  # it differs, or git lacks a commit
        return True
    return False


def is_uncommitted(code: str) -> bool:
    """Tell whether a run names code that was not committed; runs made earlier do not say which."""
    return "+" in code.removesuffix("+")


def is_committed_place(folder: Path) -> bool:
    """Tell whether what is written to a folder may be committed: it is git's and not ignored."""
    inside = folder if folder.is_dir() else folder.parent
    words = ["git", "check-ignore", "--quiet", str((folder / "runs.csv").resolve())]
    try:
        return subprocess.run(words, cwd=inside, capture_output=True).returncode == 1
    except OSError:
        return False
