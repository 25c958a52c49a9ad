"""Text tokenised once, into a cache that is whole or made anew, by a tokenizer trained or given."""

import errno
import os

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.training.conftest import small_text
from toeplitz_theory.cli import run
from toeplitz_theory.errors import InputError, RunError
from toeplitz_theory.training import text as documents_module
from toeplitz_theory.training import token_cache as cache_module
from toeplitz_theory.training.recipe import DataSection
from toeplitz_theory.training.text import is_held_out
from toeplitz_theory.training.token_cache import cached_tokens
from toeplitz_theory.training.tokenizer import END, given_tokenizer, train_tokenizer

TEXTS = small_text().split("\n\n")
SMALL = {"vocab_size": 280, "sequence_length": 16, "validation_fraction": 0.2}


def tokens(place, **fields):
    return cached_tokens(DataSection(**{"corpus": "text.txt", **SMALL, **fields}), place)


def entries(place):
    return sorted((place / "cache" / "tokens").iterdir())


def test_the_cache_holds_what_tokenising_gives_and_is_used_again(place, monkeypatch):
    first = tokens(place)
    pairs = [(f"text.txt:{i}", text) for i, text in enumerate(TEXTS)]
    parts = [[text for name, text in pairs if is_held_out(name, 0.2) is held] for held in (False, True)]
    tokenizer = train_tokenizer(parts[0], 280, 16)
    for stream, part in zip((first.train, first.validation), parts, strict=True):
        expected = [i for text in part for i in [*tokenizer(text)["input_ids"], 0]]
        np.testing.assert_array_equal(stream, expected)
        assert isinstance(stream, np.memmap) and stream.dtype == np.uint16
    sizes = (len(TEXTS), sum(map(len, TEXTS)))
    assert (first.text.documents, first.text.characters) == sizes and len(first.text.sha256) == 64
    monkeypatch.setattr(cache_module, "encode", None)
    again = tokens(place)
    np.testing.assert_array_equal(first.train, again.train)
    assert (again.text, again.baselines) == (first.text, first.baselines)
    assert again.tokenizer.backend_tokenizer.to_str() == first.tokenizer.backend_tokenizer.to_str()


def test_everything_that_decides_the_tokens_is_in_the_key(place):
    tokens(place)
    for count, fields in enumerate(
        [
            {"vocab_size": 290},
            {"validation_fraction": 0.3},
            {"sample_by": "line"},
            {"max_documents": 40},
            {"tokenizer_documents": 5},
            {"corpus": "text.jsonl", "text_column": "body"},
        ],
        2,
    ):
        tokens(place, **fields)
        assert len(entries(place)) == count
    tokens(place, sequence_length=8)
    assert len(entries(place)) == count  # packing comes after
    (place / "text.txt").write_text("\n\n".join(TEXTS[::-1]))
    tokens(place)
    assert len(entries(place)) == count + 1


@pytest.mark.parametrize("name", ["train.bin", "validation.bin", "tokenizer.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_cache_is_made_anew(place, capsys, name, damage):
    before = tokens(place)
    train = np.array(before.train)
    (entry,) = entries(place)
    path, content = entry / name, (entry / name).read_bytes()
    middle = len(content) // 2
    if damage == "remove":
        path.unlink()
    else:
        path.write_bytes(content[:middle] + (b"" if damage == "cut" else b"~" + content[middle + 1 :]))
    after = tokens(place)
    np.testing.assert_array_equal(after.train, train)
    assert after.tokenizer.backend_tokenizer.to_str() == before.tokenizer.backend_tokenizer.to_str()
    assert "made anew" in capsys.readouterr().err


def test_a_full_disk_is_one_line_and_leaves_nothing(place, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache_module, "encode", full)
    with pytest.raises(RunError, match=r"token cache cannot be written \(No space left on device\)"):
        tokens(place)
    assert not entries(place)


def test_a_corpus_is_not_read_into_memory(place, monkeypatch):
    """What is alive at a time is a batch, however long the corpus."""
    monkeypatch.setattr("toeplitz_theory.training.batches._BATCH_DOCUMENTS", 4)
    alive, most = 0, 0

    class Text(str):
        def __init__(self, _):
            nonlocal alive, most
            alive += 1
            most = max(most, alive)

        def __del__(self):
            nonlocal alive
            alive -= 1

    read = documents_module._read_file
    monkeypatch.setattr(documents_module, "_read_file", lambda *a: (Text(text) for text in read(*a)))
    tokens(place, validation_fraction=0.3)
    assert most <= 8 < len(TEXTS) and alive == 0


def test_a_given_tokenizer(place, recipe_file):
    trained = train_tokenizer(TEXTS, 300, 16)
    trained.save_pretrained(place / "given")
    fields = {"corpus": "text.txt", "validation_fraction": 0.2, "sequence_length": 16}
    for source in ("given", "given/tokenizer.json"):
        found = cached_tokens(DataSection(**fields, tokenizer=source), place)
        assert found.tokenizer.decode(found.train[:16]) == trained.decode(list(found.train[:16]))
        assert found.train.max() < len(trained)
    assert len(entries(place)) == 1
    path = recipe_file(vocab_size='tokenizer = "given"', steps="steps = 2")
    (place / "text.txt").write_text("\n\n".join(TEXTS))
    assert run(["train", str(path), "--out", str(place / "out")]) == 0
    weights = load_file(place / "out" / "model.safetensors")
    assert weights["lm_head.weight"].shape[0] == len(trained)
    assert (place / "out" / "tokenizer.json").exists()


def test_a_tokenizer_that_cannot_be_used_is_one_line(place):
    for name in ("bad", "pipe"):
        (place / name).mkdir()
    os.mkfifo(place / "pipe" / "tokenizer.json")
    (place / "bad" / "tokenizer.json").write_text("{}")
    endless = train_tokenizer(TEXTS, 280, 16).backend_tokenizer.to_str().replace(END, "<|other|>")
    (place / "endless.json").write_text(endless)
    for source, said in [
        ("bad", "cannot be loaded"),
        ("bad/tokenizer.json", "cannot be loaded"),
        ("none", "no such folder or file"),
        ("pipe", "neither file nor folder"),
        ("pipe/tokenizer.json", "no such folder or file"),
        ("endless.json", "no end-of-text token"),
        ("hub:nobody/nothing", "cannot be loaded"),
    ]:
        with pytest.raises(InputError, match=said) as refusal:
            given_tokenizer(source, place, 16)
        assert "\n" not in str(refusal.value)
