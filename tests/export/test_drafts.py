from pathlib import Path

import pytest

from keras_koopman.export.drafts import drafts, move


def folder(path, content):
    path.mkdir()
    (path / "file").write_text(content)


def test_drafts_lie_beside_their_places_and_are_removed(tmp_path):
    places = {"folder": tmp_path / "a", "file": tmp_path / "a.tflite", "kept": tmp_path / "a.onnx"}

    def interrupted():
        with drafts(places) as made:
            assert {draft.parent for draft in made.values()} == {tmp_path}
            assert [draft.suffix for draft in made.values()][1:] == [".tflite", ".onnx"]
            folder(made["folder"], "half")
            made["file"].touch()
            made.pop("kept").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    (kept,) = tmp_path.iterdir()
    assert kept.suffix == ".onnx"


def test_two_exports_at_once_do_not_share_a_draft(tmp_path):
    with drafts({"x": tmp_path / "a"}) as first, drafts({"x": tmp_path / "a"}) as second:
        assert first["x"] != second["x"]


@pytest.mark.parametrize("before", [None, "old"])
@pytest.mark.parametrize("make", [folder, Path.write_text])
def test_move(tmp_path, make, before):
    if before:
        make(tmp_path / "place", before)
    make(tmp_path / "draft", "new")
    move(tmp_path / "draft", tmp_path / "place")
    assert [f.name for f in tmp_path.iterdir()] == ["place"]
    place = tmp_path / "place"
    assert (place / "file" if place.is_dir() else place).read_text() == "new"


def test_a_folder_that_cannot_be_moved_leaves_the_old_one(tmp_path, monkeypatch):
    folder(tmp_path / "place", "old")
    folder(tmp_path / "draft", "new")
    rename = Path.rename

    def fail(self, target):
        if self.name == "draft":
            raise OSError("the disk refuses")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="refuses"):
        move(tmp_path / "draft", tmp_path / "place")
    assert (tmp_path / "place/file").read_text() == "old"
    assert sorted(f.name for f in tmp_path.iterdir()) == ["draft", "place"]
