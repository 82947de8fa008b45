"""Images in declared columns, together with other columns."""

import base64
import io

from PIL import Image

from template.file_versions import FileVersion
from template.model import Column, Images
from template.sources.images import split_images
from template.sources.streams import ReadSettings
from tests.template.needs.reading import read_messages

GREY = Images((2, 3), "L", fit="stretch")


class TestImagesInColumns:
    columns = (Column("age", "number"), Column("image", "image"), Column("photo", "image", True))

    def png(self, value=7, size=(3, 2)):
        stream = io.BytesIO()
        Image.new("L", size, value).save(stream, "PNG")
        return stream.getvalue()

    def check(self, frame):
        assert list(frame.columns) == ["age", "image", "photo"]
        for image in frame["image"]:
            assert image.tolist() == [[7, 7, 7], [7, 7, 7]]
            image[:] = 0
        assert frame["photo"].tolist() == [None, None]

    def test_in_json(self, read_jsonl):
        rows = [
            {"age": 1, "image": base64.b64encode(self.png()).decode()},
            {"age": 2, "image": [[7] * 6] * 4, "photo": None},
        ]
        settings = {"columns": self.columns, "images": GREY}
        self.check(read_jsonl(rows, **settings).frame)
        self.check(read_messages(rows, **settings)[0].frame)

    def test_in_parquet(self, read_parquet):
        settings = {"columns": self.columns, "images": GREY}
        table = {"age": [1, 2], "image": [self.png(), self.png(size=(30, 20))]}
        self.check(read_parquet(table, **settings).frame)
        table = {"age": [1, 2], "image": [[7] * 6, [7] * 6]}
        self.check(read_parquet(table, **settings).frame)

    def test_image_files_have_the_other_columns_if_they_are_optional(self, tmp_path):
        (tmp_path / "a.png").write_bytes(self.png())
        files = [FileVersion(path=str(tmp_path / "a.png"), size=1, generation="1")]
        columns = (Column("age", "number", optional=True), Column("image", "image"))
        settings = ReadSettings(batch_size=3, columns=columns, images=GREY)
        (split,) = split_images(files, settings)
        (block,) = split.read(settings)
        assert list(block.frame.columns) == ["age", "image"]
        assert block.frame["image"][0].shape == (2, 3)
        settings = ReadSettings(batch_size=3, columns=self.columns, images=GREY)
        (letter,) = split.read(settings)
        assert "no column 'age', which the model needs" in letter.error
