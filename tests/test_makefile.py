"""The Makefile, as far as it says what it would do."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def would_do(*words):
    command = ["make", "-n", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


def test_an_installation_for_processors_has_no_cuda_packages(tmp_path):
    said = would_do("test", f"VENV={tmp_path}", "TORCH=cpu")
    (pattern,) = re.findall(r"grep -vE '(.*)' requirements.lock", said)
    lock = (ROOT / "requirements.lock").read_text().splitlines()
    names = {line.partition("==")[0] for line in lock if not re.search(pattern, line)}
    assert {"torch", "torchvision", "hydra-core"} <= names
    assert not [name for name in names if re.search("cuda|nvidia|nccl|triton", name)]
    assert "--torch-backend cpu" in said


def test_the_whole_lock_is_installed_by_default(tmp_path):
    said = would_do("test", f"VENV={tmp_path}")
    assert "--requirement requirements.lock" in said
    assert "uv" not in re.findall(r"\b\w+\b", said)
