"""Corpus, tokenizer, packing and the count models."""

import hashlib
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.conftest import small_text
from toeplitz_theory.errors import InputError
from toeplitz_theory.training import text as corpus_module
from toeplitz_theory.training.batches import PackedTokens, encode
from toeplitz_theory.training.count_models import _discounted, count_baselines
from toeplitz_theory.training.recipe import DataSection
from toeplitz_theory.training.text import add_document, is_held_out, open_documents
from toeplitz_theory.training.tokenizer import END, train_tokenizer


def documents(path):
    return list(open_documents(DataSection(corpus=str(path))))


def test_documents_of_a_text_and_of_json_lines(tmp_path):
    (tmp_path / "a.txt").write_text("one\n\n\n\ntwo\nlines\n")
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n\n{"text": "two\\nlines"}\n')
    plain, lines = documents(tmp_path / "a.txt"), documents(tmp_path / "a.jsonl")
    assert [text.strip() for _, text in plain] == [text for _, text in lines] == ["one", "two\nlines"]


def test_the_split_is_by_name_and_more_documents_move_none():
    held = [i for i in range(4000) if is_held_out(f"doc {i}", 0.1)]
    assert 300 <= len(held) <= 500  # 400 expected, standard deviation 19
    assert set(held) <= {i for i in range(4000) if is_held_out(f"doc {i}", 0.2)}


def test_hash_tells_names_and_boundaries_apart():
    hashes = set()
    for pairs in [(("a", "bc"),), (("ab", "c"),), (("a", "b"), ("", "c"))]:
        digest = hashlib.sha256()
        for name, text in pairs:
            add_document(digest, name, text)
        hashes.add(digest.hexdigest())
    assert len(hashes) == 3


def test_docstrings_are_extracted_once_in_order(tmp_path, monkeypatch):
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text('"""The package."""\ndef f(x, y=1):\n    """Adds."""\n')
    (tmp_path / "b.py").write_text('class C:\n    """A class."""\n    def m(self):\n        """Adds."""\n')
    (tmp_path / "broken.py").write_text("def (")
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "t.py").write_text('"""Not documentation."""')
    documents = list(corpus_module._docstrings(tmp_path))
    assert documents == [
        ("module b", "b.C\nA class.\n\nb.C.m(self)\nAdds.\n"),
        ("module pkg", "pkg\nThe package.\n"),
    ]


def test_embedded_corpus_is_cached_and_survives_a_damaged_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TOEPLITZ_THEORY_CACHE", str(tmp_path))
    monkeypatch.setattr(corpus_module, "_docstrings", lambda stdlib: iter([("module m", "text\n")]))
    first = documents("stdlib-docs")
    assert first[-1] == ("module m", "text\n") and len(first) > 50
    monkeypatch.setattr(corpus_module, "_docstrings", lambda stdlib: iter([]))
    assert documents("stdlib-docs") == first
    (cached,) = tmp_path.glob("stdlib-docs/*/value.json")
    cached.write_bytes(cached.read_bytes()[:100])
    assert documents("stdlib-docs") == first[:-1]


def test_tokenizer_is_deterministic_and_lossless():
    text = small_text() + " é — ∑"
    one, other = (train_tokenizer([text], 300, 16) for _ in range(2))
    assert one.backend_tokenizer.to_str() == other.backend_tokenizer.to_str()
    assert one.eos_token_id == 0 and len(one) <= 300
    text += "\u00ff unseen 漢字"
    assert one.decode(one(text)["input_ids"]) == text


def test_packing_keeps_order_and_ends_documents():
    texts = [small_text(3), "short"]
    tokenizer = train_tokenizer(texts, 270, 8)
    stream = np.concatenate(list(encode(texts, tokenizer)))
    assert list(stream).count(tokenizer.eos_token_id) == 2 and stream[-1] == tokenizer.eos_token_id
    packed = PackedTokens(stream, 8)
    joined = np.concatenate([packed[i]["input_ids"].numpy() for i in range(len(packed))])
    np.testing.assert_array_equal(joined, stream[: len(stream) // 8 * 8])
    assert tokenizer.decode(stream).split(END)[1] == "short"
    with pytest.raises(InputError, match="fewer than one sequence"):
        PackedTokens(stream, len(stream) + 1)


class TestBaselines:
    @given(st.lists(st.integers(0, 3), min_size=5, max_size=60), st.integers(0, 3))
    def test_discounted_probabilities_sum_to_one(self, stream, context):
        train = np.array(stream)
        shorter = np.array([0.1, 0.2, 0.3, 0.4])
        asked = np.arange(4)
        total = _discounted(train[:-1], train[1:], np.full(4, context), asked, 4, shorter).sum()
        assert abs(total - 1) < 1e-12

    def test_against_counting_by_hand(self):
        """Probabilities written as dictionaries and loops, with no array code."""
        rng = np.random.default_rng(0)
        train, validation = rng.integers(0, 5, 300), rng.integers(0, 5, 40)
        losses = count_baselines(train, validation, 5)

        def level(order, history, token):
            if order == 1:
                return (list(train).count(token) + 1) / (len(train) + 5)
            windows = [tuple(train[i : i + order]) for i in range(len(train) - order + 1)]
            counts = {gram: windows.count(gram) for gram in set(windows)}
            n1, n2 = (list(counts.values()).count(c) for c in (1, 2))
            discount = n1 / (n1 + 2 * n2) if n1 else 0.5
            context = tuple(history[-(order - 1) :])
            mine = {gram[-1]: c for gram, c in counts.items() if gram[:-1] == context}
            shorter = level(order - 1, history, token)
            if not mine:
                return shorter
            total = sum(mine.values())
            return max(mine.get(token, 0) - discount, 0) / total + discount * len(mine) / total * shorter

        for order, name in ((1, "unigram"), (2, "bigram"), (3, "trigram")):
            by_hand = [np.log(level(order, validation[:t], validation[t])) for t in range(2, len(validation))]
            assert abs(getattr(losses, name) + np.mean(by_hand)) < 1e-12

    def test_uniform_noise_gains_nothing_and_structure_much(self):
        rng = np.random.default_rng(1)
        noise = rng.integers(0, 8, 20000)
        losses = count_baselines(noise[:15000], noise[15000:], 8)
        assert abs(losses.bigram - np.log(8)) < 0.02
        cycle = np.fromiter(itertools.islice(itertools.cycle(range(8)), 4000), int)
        assert count_baselines(cycle, cycle, 8).trigram < 0.05
