"""Where a report's numbers come from: enough to compute every one of them again."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata

from toeplitz_theory.checkpoints import SourceFile
from toeplitz_theory.display import Displayed
from toeplitz_theory.files import own_commit

CONVENTION = (
    "y[t] = sum_k w[k] x[t-k]; symbol a(z) = sum_k w[k] z^k on |z| = 1; "
    "ind T(a) = -wind(a, 0) = -(number of zeros of a in |z| < 1)"
)
_PACKAGES = ("toeplitz-theory", "numpy", "scipy", "python-flint")


@dataclass(frozen=True, repr=False)
class Provenance(Displayed):
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
    quick : bool
        Whether only a quick look was taken: index, least modulus, Jensen deficit and delays.
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
    quick: bool
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
    quick: bool = False,
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
        quick=quick,
        versions=_versions(),
        commit=own_commit(),
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
