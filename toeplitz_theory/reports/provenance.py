"""Where a report's numbers come from: enough to compute every one of them again."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path

from toeplitz_theory.checkpoints import SourceFile

CONVENTION = (
    "y[t] = sum_k w[k] x[t-k]; symbol a(z) = sum_k w[k] z^k on |z| = 1; "
    "ind T(a) = -wind(a, 0) = -(number of zeros of a in |z| < 1)"
)
_PACKAGES = ("toeplitz-theory", "numpy", "scipy", "python-flint")


@dataclass(frozen=True)
class Provenance:
    """What a report was computed from and with.

    Parameters
    ----------
    source : str
        The checkpoint as named by the caller, or the class of a live module.
    files : tuple of SourceFile
        The files read, with their hashes; empty for a live module.
    dtypes : tuple of str
        Stored types of the kernels.
    n : tuple of int
        Lengths of the kernels.
    convention : str
        Sign and direction conventions.
    tolerances : dict of str to float
        ``tol`` of the index and ``nullity_rtol`` of the nullity.
    versions : dict of str to str
        Python and the packages that computed.
    commit : str or None
        Commit of the toolkit when it runs from a checkout; "-dirty" marks changes.
    time : str
        UTC, ISO 8601.
    platform : str
        Operating system and processor.

    Examples
    --------
    >>> collect("x", (), ("float32",), (512,), {"tol": 0.0}).n
    (512,)
    """

    source: str
    files: tuple[SourceFile, ...]
    dtypes: tuple[str, ...]
    n: tuple[int, ...]
    convention: str
    tolerances: dict[str, float]
    versions: dict[str, str]
    commit: str | None
    time: str
    platform: str


def collect(
    source: str,
    files: tuple[SourceFile, ...],
    dtypes: tuple[str, ...],
    n: tuple[int, ...],
    tolerances: dict[str, float],
) -> Provenance:
    """The whole record: what was read and with which tolerances, and what the process knows about itself.

    Examples
    --------
    >>> "numpy" in collect("x", (), (), (), {}).versions
    True
    """
    return Provenance(
        source=source,
        files=files,
        dtypes=dtypes,
        n=n,
        convention=CONVENTION,
        tolerances=tolerances,
        versions=_versions(),
        commit=_commit(),
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        platform=platform.platform(),
    )


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    # torch took part only if something else in this process already loaded it.
    for name in (*_PACKAGES, *(["torch"] if "torch" in sys.modules else [])):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed as a package"
    return versions


@cache
def _commit() -> str | None:
    """The toolkit's own commit, if the running package lies in a checkout of it; None otherwise."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        answer = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
            # Reading must not take the index lock from whoever is committing.
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None
