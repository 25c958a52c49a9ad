"""A tiny text and a recipe that trains on it in seconds."""

import gzip
import json

import datasets
import pytest

SENTENCE = "a kernel of taps moves each token along time and the layer keeps what it can of the text"
WORDS = SENTENCE.split()

RECIPE = """
name = "tiny"
objective = "{objective}"
[model]
hidden_size = 16
num_hidden_layers = 2
num_heads = 2
[data]
corpus = "text.txt"
vocab_size = 280
sequence_length = 16
validation_fraction = 0.2
[training]
steps = 12
batch_size = 4
warmup_steps = 2
log_every = 2
evaluate_every = 6
save_every = 4
kernels_every = 3
"""


def small_text(documents: int = 60) -> str:
    """Return sentences of a few words each, always the same."""
    picks = [[WORDS[(7 * i + 3 * j + i * j) % len(WORDS)] for j in range(25)] for i in range(documents)]
    return "\n\n".join(" ".join(words) + "." for words in picks)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """Keep token caches out of the user's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOEPLITZ_THEORY_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def recipe_file(tmp_path):
    """Write text and recipe into a fresh folder; call with an objective for another one.

    Keywords replace the lines of these keys; ``tail`` adds lines to the last section.
    """

    def write(objective: str = "next_token", /, tail: str = "", **replacements: str):
        (tmp_path / "text.txt").write_text(small_text())
        text = RECIPE.format(objective=objective) + tail
        for old, new in replacements.items():
            assert f"{old} = " in text
            text = "\n".join(new if line.startswith(f"{old} = ") else line for line in text.splitlines())
        path = tmp_path / "recipe.toml"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The same documents in every form that is read; a cache and a datasets cache of their own."""
    monkeypatch.setenv("TOEPLITZ_THEORY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    texts = small_text().split("\n\n")
    (tmp_path / "text.txt").write_text("\n\n".join(texts))
    with gzip.open(tmp_path / "packed.txt.gz", "wt") as file:
        file.write("\n\n".join(texts))
    lines = "".join(json.dumps({"body": text, "n": i}) + "\n" for i, text in enumerate(texts))
    (tmp_path / "text.jsonl").write_text(lines)
    table = datasets.Dataset.from_dict({"body": texts, "n": list(range(len(texts)))})
    table.to_parquet(str(tmp_path / "text.parquet"))
    (tmp_path / "repository").mkdir()
    table.to_parquet(str(tmp_path / "repository" / "train.parquet"))
    return tmp_path
