import pytest

from tools.checks import fuzz_guided

pytestmark = pytest.mark.once


@pytest.mark.parametrize("reader", fuzz_guided.READERS)
def test_a_reader_takes_its_seeds_and_refuses_halves(reader, tmp_path):
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    fuzz_guided.seeds(reader, corpus)
    found = sorted(corpus.iterdir())
    assert found
    for seed in found:
        content = seed.read_bytes()
        assert fuzz_guided.judge(reader, content, tmp_path / "file")
        assert not fuzz_guided.judge(reader, content[: len(content) // 2], tmp_path / "file")


def test_an_error_of_another_kind_passes_through(tmp_path, monkeypatch):
    def broken(path):
        raise KeyError(path.name)

    monkeypatch.setitem(fuzz_guided.READERS, "archive", broken)
    with pytest.raises(KeyError):
        fuzz_guided.judge("archive", b"", tmp_path / "file")
