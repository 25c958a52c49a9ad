"""Models of the Hugging Face Hub, by names such as ``hub:OWNER/NAME``."""

from __future__ import annotations

import re
from pathlib import Path

from toeplitz_theory.errors import InputError, reason_of
from toeplitz_theory.names import shown

HUB = "hub:"
# Nothing that could hold code.
_WANTED = ["config.json", "*.safetensors", "*.safetensors.index.json"]


def hub_name(source: str, what: str) -> str:
    """Return the name after ``hub:``; patterns, which would match other names, are none.

    Examples
    --------
    >>> hub_name("hub:OWNER/NAME", "corpus")
    'OWNER/NAME'
    """
    name = source.removeprefix(HUB)
    if not name.strip("/. ") or re.search(r"[*?\[\]{}\x00-\x1f]", name):
        raise InputError(f"{what} {shown(source)}: is not a name on the Hub; write hub:OWNER/NAME")
    return name


def downloaded(source: str) -> Path:
    """Return the folder of a model of the Hub: its configuration and its safetensors weights.

    Parameters
    ----------
    source : str
        ``hub:OWNER/NAME``, or ``hub:OWNER/NAME@REVISION`` for a branch, tag or commit.

    Returns
    -------
    Path
        In the cache of ``huggingface_hub``; what was downloaded before is not downloaded again.

    Raises
    ------
    InputError
        If there is no such model, it may not be read, it has no safetensors, or it cannot be reached.

    Examples
    --------
    >>> downloaded("hub:OWNER/NAME@main")  # doctest: +SKIP
    """
    from huggingface_hub import errors, snapshot_download

    name, _, revision = hub_name(source, "model").partition("@")
    try:
        folder = Path(snapshot_download(name, revision=revision or None, allow_patterns=_WANTED))
    except errors.GatedRepoError:
        raise _refusal(source, "is gated; accept its terms on its page, then run 'hf auth login'") from None
    except errors.RevisionNotFoundError:
        raise _refusal(source, f"has no revision {shown(revision)}; name a branch, tag or commit") from None
    except errors.RepositoryNotFoundError:
        message = "no such model on the Hub; check the name, or run 'hf auth login' if it is private"
        raise _refusal(source, message) from None
    except errors.HFValidationError:
        raise _refusal(source, "is not a name on the Hub; write hub:OWNER/NAME") from None
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled):
        message = "cannot be downloaded, and was not before; check the network, or give a folder"
        raise _refusal(source, message) from None
    except Exception as error:  # whatever the network makes of the client below
        message = f"cannot be downloaded ({reason_of(error)}); check the network, or give a folder"
        raise _refusal(source, message) from error
    if not any(folder.rglob("*.safetensors")):
        message = "has no safetensors, the only weights read from the Hub; download it and give the folder"
        raise _refusal(source, message)
    return folder


def _refusal(source: str, reason: str) -> InputError:
    return InputError(f"{shown(source)}: {reason}")
