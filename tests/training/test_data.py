"""Text from files, folders and data sets, tokenised once into a cache that is whole or made anew."""

import bz2
import errno
import gzip
import json
import lzma
import os
import shutil

import datasets
import numpy as np
import pyarrow
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
from toeplitz_theory.training.text import _paragraphs, is_held_out, open_documents
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
    assert open_documents(DataSection(corpus="many"), place).name == "many"


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


PACKERS = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda content: pyarrow.Codec("zstd").compress(content).to_pybytes(),
}


@pytest.mark.parametrize("ending", PACKERS)
def test_packed_files_are_unpacked_also_of_several_parts(place, ending):
    halves = [f"{part}\n\n".encode() for part in ("\n\n".join(TEXTS[:30]), "\n\n".join(TEXTS[30:]))]
    (place / f"parts.txt{ending}").write_bytes(b"".join(map(PACKERS[ending], halves)))
    assert texts(corpus=str(place / f"parts.txt{ending}")) == TEXTS
    (place / f"table.parquet{ending}").write_bytes(PACKERS[ending]((place / "text.parquet").read_bytes()))
    assert texts(corpus=str(place / f"table.parquet{ending}"), text_column="body") == TEXTS


@pytest.mark.parametrize("ending", PACKERS)
@pytest.mark.parametrize("kind", ["txt", "jsonl", "parquet"])
def test_damaged_packed_files_are_one_line(place, ending, kind):
    content = PACKERS[ending]((place / f"text.{kind}").read_bytes())
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 0x55]) + content[middle + 1 :]
    for damaged in (content[:-7], content[:50], content[:5], bytes(len(content)), flipped):
        path = place / f"damaged.{kind}{ending}"
        path.write_bytes(damaged)
        try:
            read = texts(corpus=str(path), text_column="body")
        except InputError as refusal:
            assert "damaged" in str(refusal) and "\n" not in str(refusal)
        else:
            assert damaged is flipped and ending == ".zst"  # which need not have a checksum
            assert read != TEXTS


AWKWARD = ["part[1]", "z*", "a?", "{a,b}", "x::y", "file:", "~", "#1 %20", "-"]
READ_AS = ["part1", "zebra", "ab", "a", "y", "x", "1"]


@pytest.mark.parametrize("name", AWKWARD)
def test_a_file_is_read_by_its_own_name_whatever_that_matches(tmp_path, name):
    for other in READ_AS:
        datasets.Dataset.from_dict({"text": ["WRONG"]}).to_parquet(str(tmp_path / f"{other}.parquet"))
        (tmp_path / f"{other}.txt").write_text("WRONG")
        (tmp_path / f"{other}.txt.gz").write_bytes(gzip.compress(b"WRONG"))
        (tmp_path / f"{other}.jsonl").write_text('{"text": "WRONG"}')
    folder = tmp_path / f"folder {name}"
    folder.mkdir()
    datasets.Dataset.from_dict({"text": ["RIGHT"]}).to_parquet(str(tmp_path / "made"))
    for place in (tmp_path, folder):
        shutil.copy(tmp_path / "made", place / f"{name}.parquet")
        (place / f"{name}.txt").write_text("RIGHT")
        (place / f"{name}.txt.gz").write_bytes(gzip.compress(b"RIGHT"))
        (place / f"{name}.jsonl").write_text('{"text": "RIGHT"}')
    for ending in ("parquet", "txt", "txt.gz", "jsonl"):
        for place in (tmp_path, folder):
            data = DataSection(corpus=f"{name}.{ending}")
            assert [text for _, text in open_documents(data, place)] == ["RIGHT"]
    assert texts(corpus=str(folder)) == ["RIGHT"] * 4


@pytest.mark.parametrize("name", ["", "/", ".", "owner/name*", "{}/repository[1]", "a\x1b[31m", "own?r/name"])
def test_what_is_no_name_on_the_hub_is_one_line(place, name):
    (place / "repository1").mkdir()
    datasets.Dataset.from_dict({"text": ["WRONG"]}).to_parquet(str(place / "repository1" / "train.parquet"))
    (place / "repository[1]").mkdir()
    name = name.replace("{}", str(place))
    for read in (lambda: texts(corpus=f"hub:{name}"), lambda: given_tokenizer(f"hub:{name}", place, 16)):
        with pytest.raises(InputError, match="is no name on the Hub; write hub:OWNER/NAME") as refusal:
            read()
        assert str(refusal.value).isprintable()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"corpus": "text.parquet"}, "no column 'text'; set text_column to one of .*body"),
        ({"corpus": "text.parquet", "text_column": "n"}, "row 1: 'n' holds int, not text"),
        ({"corpus": "hub:{}/repository", "text_column": "n"}, "row 1: 'n' holds int, not text"),
        ({"corpus": "hub:{}/repository"}, "no column 'text'"),
        ({"corpus": "holes.parquet"}, "row 2: 'text' holds nothing"),
        ({"corpus": "hub:{}/holes"}, "row 2: 'text' holds nothing"),
        ({"corpus": "hub:{}/holes", "streaming": True}, "row 2: 'text' holds nothing"),
        ({"corpus": "text.jsonl"}, "line 1 is not"),
        ({"corpus": "nothing"}, "has no .txt"),
        ({"corpus": "absent.txt"}, "no such file"),
        ({"corpus": "latin.txt"}, "not readable UTF-8"),
        ({"corpus": "damaged.parquet"}, "damaged.parquet: is not readable parquet"),
        ({"corpus": "hub:{}/damaged"}, "cannot be read"),
        ({"corpus": "hub:{}/damaged", "streaming": True}, "cannot be read"),
        ({"corpus": "pipe"}, "a pipe or device"),
        ({"corpus": "/dev/null"}, "a pipe or device"),
        ({"corpus": "hub:{}/repository", "split": "other"}, "cannot be read.*split"),
        ({"corpus": "hub:{}/repository", "config": "other"}, "cannot be read.*other"),
        ({"corpus": "hub:nobody/nothing"}, "cannot be read.*without network"),
        ({"corpus": "hub:nobody/nothing", "streaming": True}, "cannot be read.*without network"),
    ],
)
def test_what_cannot_be_read_is_one_line(place, fields, said):
    for name in ("nothing", "holes", "damaged"):
        (place / name).mkdir()
    os.mkfifo(place / "pipe")
    (place / "latin.txt").write_bytes(b"\xff\xfe")
    for name in ("holes.parquet", "holes/train.parquet"):
        datasets.Dataset.from_dict({"text": ["a", None, "b"]}).to_parquet(str(place / name))
    for name in ("damaged.parquet", "damaged/train.parquet"):
        (place / name).write_bytes((place / "text.parquet").read_bytes()[:200])
    fields["corpus"] = fields["corpus"].replace("{}", str(place))
    with pytest.raises(InputError, match=said) as refusal:
        list(open_documents(DataSection(**fields), place))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "line",
    [
        '{"text": null}',
        '{"text": 1}',
        '{"text": ["a"]}',
        '{"text": {"a": "b"}}',
        '{"txt": "a"}',
        "[1]",
        '"text"',
        "null",
        "3",
        '{"text": "a"',
        "[" * 100_000,
        "1" * 5000,
        '{"text": ' + "9" * 5000 + "}",
    ],
)
def test_a_line_without_text_is_refused_by_its_number(tmp_path, line):
    (tmp_path / "a.jsonl").write_text(f'{{"text": "fine"}}\n\n{line}\n{{"text": "fine"}}\n')
    with pytest.raises(InputError, match=r"a\.jsonl: line 3") as refusal:
        texts(corpus=str(tmp_path / "a.jsonl"))
    assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 600


def test_names_do_not_reach_the_terminal_raw(tmp_path, capsys):
    folder = tmp_path / "a\x1b[31m"
    folder.mkdir()
    (folder / "b\x1b[32m.bin").touch()
    (folder / "c.txt").write_text("text")
    assert texts(corpus=str(folder)) == ["text"]
    said = capsys.readouterr().err
    assert "\x1b" not in said and "\\x1b[31m" in said and "\\x1b[32m" in said
    (folder / "d\x1b[33m.jsonl").write_text("[1]")
    with pytest.raises(InputError) as refusal:
        texts(corpus=str(folder))
    assert "\x1b" not in str(refusal.value)


def test_a_character_cut_in_half_is_replaced(place):
    (place / "half.jsonl").write_text('{"text": "a \\ud800 b"}\n')
    assert texts(corpus=str(place / "half.jsonl")) == ["a ? b"]


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
