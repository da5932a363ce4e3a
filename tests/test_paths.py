import pytest

from irtuning.paths import existing


def test_a_file_and_a_folder_are_found_and_the_home_is_known(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "there").mkdir()
    assert existing("~/there") == tmp_path / "there"
    assert existing(str(tmp_path)) == tmp_path


@pytest.mark.parametrize("name", ["", " ", "no-such", "~nobody-at-all/x", "x" * 5000, "a\0b"])
def test_what_cannot_be_a_name_is_nothing(name):
    assert existing(name) is None
