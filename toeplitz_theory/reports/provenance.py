"""Where a report's numbers come from: enough to compute every one of them again."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass, field
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


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    # torch took part only if something else in this process already loaded it.
    for name in (*_PACKAGES, *(["torch"] if "torch" in sys.modules else [])):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed as a package"
    return versions


@dataclass(frozen=True, repr=False)
class Provenance(Displayed):
    """What a report was computed from and with; what is not given is what this process knows of itself.

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
    >>> provenance = Provenance("x", (), ("float32",), (512,))
    >>> provenance.n, "numpy" in provenance.versions
    ((512,), True)
    """

    source: str
    files: tuple[SourceFile, ...]
    dtypes: tuple[str, ...]
    n: tuple[int, ...]
    convention: str = CONVENTION
    tolerances: dict[str, float] = field(default_factory=dict)
    quick: bool = False
    versions: dict[str, str] = field(default_factory=_versions)
    commit: str | None = field(default_factory=own_commit)
    time: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    platform: str = field(default_factory=platform.platform)
