"""Text from files, folders and data sets, tokenised once into a cache that is whole or made anew."""

import errno
import gzip
import json
import os

import datasets
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from tests.training.conftest import small_text
from toeplitz_theory.cli import run
from toeplitz_theory.errors import InputError, RunError
from toeplitz_theory.training import text as documents_module
from toeplitz_theory.training import token_cache as cache_module
from toeplitz_theory.training.recipe import DataSection
from toeplitz_theory.training.text import _paragraphs, load_corpus, open_documents
from toeplitz_theory.training.token_cache import cached_tokens
from toeplitz_theory.training.tokenizer import END, given_tokenizer, train_tokenizer

TEXTS = small_text().split("\n\n")
SMALL = {"vocab_size": 280, "sequence_length": 16, "validation_fraction": 0.2}


def texts(**fields):
    return [text for _, text in open_documents(DataSection(**fields))]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The same documents in every form that is read; a cache and a datasets cache of their own."""
    monkeypatch.setenv("TOEPLITZ_THEORY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    (tmp_path / "text.txt").write_text("\n\n".join(TEXTS))
    with gzip.open(tmp_path / "packed.txt.gz", "wt") as file:
        file.write("\n\n".join(TEXTS))
    lines = "".join(json.dumps({"body": text, "n": i}) + "\n" for i, text in enumerate(TEXTS))
    (tmp_path / "text.jsonl").write_text(lines)
    table = datasets.Dataset.from_dict({"body": TEXTS, "n": list(range(len(TEXTS)))})
    table.to_parquet(str(tmp_path / "text.parquet"))
    (tmp_path / "repository").mkdir()
    table.to_parquet(str(tmp_path / "repository" / "train.parquet"))
    return tmp_path


def test_every_form_gives_the_same_documents(place):
    assert texts(corpus=str(place / "text.txt")) == TEXTS
    assert texts(corpus=str(place / "packed.txt.gz")) == TEXTS
    for name in ("text.jsonl", "text.parquet"):
        assert texts(corpus=str(place / name), text_column="body") == TEXTS
    hub = f"hub:{place / 'repository'}"
    for streaming in (False, True):
        assert texts(corpus=hub, text_column="body", streaming=streaming) == TEXTS
    assert texts(corpus=hub, text_column="body", max_documents=3) == TEXTS[:3]


def test_a_folder_is_its_files_in_order(place, capsys):
    folder = place / "many"
    (folder / "b").mkdir(parents=True)
    (folder / "b" / "one.txt").write_text("x\n\ny")
    (folder / "a.jsonl").write_text('{"text": "first"}\n')
    (folder / "picture.png").write_bytes(b"")
    assert list(open_documents(DataSection(corpus=str(folder)))) == [
        ("a.jsonl:0", "first"),
        ("b/one.txt:0", "x"),
        ("b/one.txt:1", "y"),
    ]
    assert "1 other files are left out (picture.png" in capsys.readouterr().err
    for by, count in (("document", 2), ("line", 3)):
        assert len(texts(corpus=str(folder), sample_by=by)) == count
    assert load_corpus("many", place).name == "many"


@given(
    st.lists(st.sampled_from(["\n", "\n\n", "a", "bc", "\n\n\n"]), max_size=30).map("".join),
    st.integers(1, 7),
)
def test_paragraphs_are_those_of_the_whole_text_wherever_the_pieces_end(text, size):
    class File:
        def __init__(self):
            self.left = text

        def read(self, _):
            piece, self.left = self.left[:size], self.left[size:]
            return piece

    assert list(_paragraphs(File())) == text.split("\n\n")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"corpus": "text.parquet"}, "no column 'text'; set text_column to one of .*body"),
        ({"corpus": "text.parquet", "text_column": "n"}, "holds int, not text"),
        ({"corpus": "text.jsonl"}, "line 1 is not"),
        ({"corpus": "nothing"}, "has no .txt"),
        ({"corpus": "damaged.parquet"}, "cannot be read"),
        ({"corpus": "damaged.txt.gz"}, "not readable"),
        ({"corpus": "hub:{}/repository", "split": "other"}, "cannot be read.*split"),
        ({"corpus": "hub:{}/repository", "config": "other"}, "cannot be read.*other"),
        ({"corpus": "hub:nobody/nothing"}, "cannot be read.*without network"),
        ({"corpus": "hub:nobody/nothing", "streaming": True}, "cannot be read.*without network"),
    ],
)
def test_what_cannot_be_read_is_one_line(place, fields, said):
    (place / "nothing").mkdir()
    (place / "damaged.parquet").write_bytes((place / "text.parquet").read_bytes()[:200])
    (place / "damaged.txt.gz").write_bytes((place / "packed.txt.gz").read_bytes()[:50])
    fields["corpus"] = fields["corpus"].replace("{}", str(place))
    with pytest.raises(InputError, match=said) as refusal:
        list(open_documents(DataSection(**fields), place))
    assert "\n" not in str(refusal.value)


def test_a_character_cut_in_half_is_replaced(place):
    (place / "half.jsonl").write_text('{"text": "a \\ud800 b"}\n')
    assert texts(corpus=str(place / "half.jsonl")) == ["a ? b"]


def tokens(place, **fields):
    return cached_tokens(DataSection(**{"corpus": "text.txt", **SMALL, **fields}), place)


def entries(place):
    return sorted((place / "cache" / "tokens").iterdir())


def test_the_cache_holds_what_tokenising_gives_and_is_used_again(place, monkeypatch):
    first = tokens(place)
    corpus = load_corpus("text.txt", place)
    parts = corpus.split(0.2)
    tokenizer = train_tokenizer((text for _, text in parts[0].documents), 280, 16)
    for stream, part in zip((first.train, first.validation), parts, strict=True):
        expected = [i for _, text in part.documents for i in [*tokenizer(text)["input_ids"], 0]]
        np.testing.assert_array_equal(stream, expected)
        assert isinstance(stream, np.memmap) and stream.dtype == np.uint16
    assert (first.text.sha256, first.text.documents) == (corpus.sha256, len(TEXTS))
    assert first.text.characters == corpus.characters
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
        # A digit or letter in place of another keeps JSON well-formed.
        path.write_bytes(content[:middle] + (b"" if damage == "cut" else b"~" + content[middle + 1 :]))
    after = tokens(place)
    np.testing.assert_array_equal(after.train, train)
    assert after.tokenizer.backend_tokenizer.to_str() == before.tokenizer.backend_tokenizer.to_str()
    if name != "manifest.json":
        assert "damaged" in capsys.readouterr().err


def test_nothing_half_written_is_left_or_taken(place, monkeypatch):
    left = place / "cache" / "tokens"

    def stop(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(cache_module, "count_baselines", stop)
        tokens(place)
    assert not list(left.iterdir())
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(cache_module.shutil, "rmtree", lambda *a, **k: None)  # as a kill leaves it
        patch.setattr(cache_module, "count_baselines", stop)
        tokens(place)
    (partial,) = left.iterdir()
    ended = next(number for number in range(2, 1 << 22) if not cache_module._is_running(number))
    partial.rename(partial.with_name(partial.name.replace(f".{os.getpid()}.", f".{ended}.")))
    tokens(place)
    assert len(list(left.iterdir())) == 1


def test_a_full_disk_is_one_line_and_leaves_nothing(place, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache_module, "write_json", full)
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
    (place / "bad").mkdir()
    (place / "bad" / "tokenizer.json").write_text("{}")
    endless = train_tokenizer(TEXTS, 280, 16).backend_tokenizer.to_str().replace(END, "<|other|>")
    (place / "endless.json").write_text(endless)
    for source, said in [
        ("bad", "cannot be loaded"),
        ("bad/tokenizer.json", "cannot be loaded"),
        ("none", "no such folder or file"),
        ("endless.json", "no end-of-text token"),
        ("hub:nobody/nothing", "cannot be loaded"),
    ]:
        with pytest.raises(InputError, match=said) as refusal:
            given_tokenizer(source, place, 16)
        assert "\n" not in str(refusal.value)
