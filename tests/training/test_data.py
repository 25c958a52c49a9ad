"""Text from files, folders and data sets: what is named is read, what cannot be read is one line."""

import bz2
import gzip
import lzma
import os
import shutil

import datasets
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.conftest import small_text
from toeplitz_theory.errors import InputError
from toeplitz_theory.training.recipe import DataSection
from toeplitz_theory.training.text import _paragraphs, open_documents
from toeplitz_theory.training.tokenizer import given_tokenizer

TEXTS = small_text().split("\n\n")
SMALL = {"vocab_size": 280, "sequence_length": 16, "validation_fraction": 0.2}


def texts(**fields):
    return [text for _, text in open_documents(DataSection(**fields))]


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
        ("b/one.txt:0", "x\n\ny"),
    ]
    assert "1 other files are left out (picture.png" in capsys.readouterr().err
    for by, count in (("document", 2), ("paragraph", 3), ("line", 3)):
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
        with pytest.raises(InputError, match="is not a name on the Hub; write hub:OWNER/NAME") as refusal:
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


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.md.gz"])
def test_a_byte_order_mark_is_no_text(tmp_path, name):
    text = '{"text": "first"}\n' if "jsonl" in name else "first"
    content = b"\xef\xbb\xbf" + text.encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert texts(corpus=str(tmp_path / name)) == ["first"]


def test_endings_are_known_in_capitals_too(tmp_path):
    (tmp_path / "a.TXT.GZ").write_bytes(gzip.compress(b"packed"))
    assert texts(corpus=str(tmp_path / "a.TXT.GZ")) == texts(corpus=str(tmp_path)) == ["packed"]


@pytest.mark.parametrize("name", ["a.json", "a.CSV", "a.tsv.gz", "a.arrow", "a.jsonl.lz4", "a.zip", "a.pdf"])
def test_what_is_neither_text_nor_rows_is_not_read_as_text(tmp_path, name):
    (tmp_path / name).write_text('[{"text": "a"}]')
    with pytest.raises(InputError, match="file is not read; make it plain text"):
        texts(corpus=str(tmp_path / name))
