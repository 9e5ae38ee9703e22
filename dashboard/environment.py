"""What a worker is told through its environment: a short explicit list, never the server's whole environment. Pure."""

from __future__ import annotations

import sysconfig
from collections.abc import Mapping
from pathlib import Path

import trainer.config

# fmt: off
KEPT = frozenset((
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH",
    "XDG_CACHE_HOME", "RUNWELL_SPOOL_MIB",
))
"""What a Python process needs to find its interpreter, its libraries and its user's folders; and the spool's bound."""

KEPT_PREFIXES = (
    "LC_", "CUDA_", "NVIDIA_", "HIP_", "ROCR_", "OMP_", "MKL_", "OPENBLAS_", "KMP_",
    "TORCH_", "TORCHINDUCTOR_", "PYTORCH_", "NCCL_", "GLOO_",
)
"""Variables by which people steer GPUs, threads and PyTorch. Names that look secret are left out all the same."""
# fmt: on

_SECRET = ("TOKEN", "SECRET", "PASSWORD", "KEY", "CREDENTIAL")


def worker_environment(
    environ: Mapping[str, str], *, run_id: str, url: str, home: Path, data: Path, token: str | None
) -> dict[str, str]:
    """The whole environment of a worker. `url` is where it reports; the token goes along only when there is one."""
    kept = {
        name: value
        for name, value in environ.items()
        if (name in KEPT or name.startswith(KEPT_PREFIXES)) and not any(word in name for word in _SECRET)
    }
    kept |= {
        "RUNWELL_RUN_ID": run_id,
        "RUNWELL_URL": url,
        "RUNWELL_HOME": str(home),
        "RUNWELL_DATA": str(data),
        "PYTHONUNBUFFERED": "1",  # each line is on the page when it is printed
        "PYTHONIOENCODING": "utf-8:backslashreplace",  # no locale can make a print() fail
    }
    if token:
        kept["RUNWELL_TOKEN"] = token
    root = source_root()
    if root is not None:
        kept["PYTHONPATH"] = str(root)
    return kept


def source_root() -> Path | None:
    """The folder that holds our packages when they are not installed (a checkout); None when any Python finds them."""
    root = Path(trainer.config.__file__).resolve().parents[1]
    installed = {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")}
    return None if root in installed else root
