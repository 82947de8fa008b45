"""Records of text, compared with the csv module, and chunks of them."""

import csv
import gzip
import io
import random

import pytest

from template.sources.chunks import (
    MAX_RECORD_BYTES,
    BrokenRecordError,
    LostRow,
    UnreadableError,
    UnreadableRestError,
    is_blank_record,
    read_chunks,
    read_head,
    read_lines,
    read_records,
)


def records_of(data):
    return list(read_records(io.BytesIO(data), delimiter=b","))


def chunks_of(records, **more):
    return read_chunks(records, is_blank=is_blank_record, **more)


def test_records_end_where_the_csv_module_ends_them():
    pieces = ['"', '""', ",", "\n", "a", "bc", " ", '"x\ny"', '"q""q"', "\r\n"]
    generator = random.Random(11)
    compared = 0
    for _ in range(5000):
        text = "".join(generator.choices(pieces, k=generator.randint(1, 12))) + '"\n\n\n'
        for end in ("", '"\n'):
            data = (text + end).encode()
            try:
                records = records_of(data)
            except BrokenRecordError:  # a quote that is not closed; the csv module is lenient
                continue
            assert b"".join(records) == data
            rows = list(csv.reader(io.StringIO(text + end, newline="")))
            ours = [next(csv.reader([r.decode()], ["\n"]), []) for r in records]
            assert [len(row) for row in ours] == [len(row) for row in rows], data
            compared += 1
    assert compared > 2000


def test_a_stray_quote_within_a_field_means_nothing():
    data = b'a,5" pipe\nb,"two\nlines"\nc,x"y"z\n'
    assert records_of(data) == [b'a,5" pipe\n', b'b,"two\nlines"\n', b'c,x"y"z\n']


def test_chunks_know_their_rows_and_their_place():
    data = b"\n".join(b"row %d" % row for row in range(100)) + b"\n\n\r\nlast"
    chunks = list(chunks_of(read_lines(io.BytesIO(data)), chunk_bytes=50))
    assert len(chunks) > 10
    assert sum(chunk.rows for chunk in chunks) == 101
    row = 0
    for chunk in chunks:
        assert chunk.first_row == row
        assert data[chunk.offset : chunk.offset + len(chunk.data)] == chunk.data
        row += chunk.rows


def test_what_precedes_an_open_quote_is_kept():
    chunks = chunks_of(read_records(io.BytesIO(b'a,b\nc,"d\ne\n'), delimiter=b","))
    assert next(chunks).data == b"a,b\n"
    with pytest.raises(UnreadableRestError, match="row 1 on: a quoted field is not closed") as info:
        next(chunks)
    assert info.value.first_row == 1


def test_what_precedes_the_damage_of_a_gzip_file_is_kept():
    data = b"".join(b"%d,%d\n" % (row, row**3) for row in range(20_000))
    compressed = gzip.compress(data)[:-4000]
    chunks = chunks_of(read_lines(gzip.GzipFile(fileobj=io.BytesIO(compressed))))
    chunk = next(chunks)
    assert data.startswith(chunk.data)
    assert chunk.rows > 10_000
    with pytest.raises(UnreadableRestError, match="the file is damaged"):
        next(chunks)


def test_memory_is_bounded_where_a_record_never_ends():
    class Endless(io.RawIOBase):
        def readline(self, size=-1):
            return b"x" * size

    chunks = chunks_of(read_records(Endless(), delimiter=b","))
    with pytest.raises(UnreadableRestError, match=f"longer than {MAX_RECORD_BYTES >> 20} MiB"):
        next(chunks)


def test_a_line_over_the_limit_costs_that_line():
    data = b"row 0\n" + b"x" * 100 + b"\n\nrow 2\n" + b"y" * 30
    chunks = list(chunks_of(read_lines(io.BytesIO(data), max_bytes=20)))
    assert [getattr(chunk, "data", chunk) for chunk in chunks] == [
        b"row 0\n",
        LostRow(row=1, problem="a line of 101 bytes is too long"),
        b"\nrow 2\n",
        LostRow(row=3, problem="a line of 30 bytes is too long"),
    ]
    assert (chunks[2].first_row, chunks[2].rows) == (2, 1)
    assert data[chunks[2].offset :].startswith(chunks[2].data)


def test_a_line_of_the_limit_is_read_with_its_end():
    assert list(read_lines(io.BytesIO(b"x" * 9 + b"\ny"), max_bytes=10)) == [b"x" * 9 + b"\n", b"y"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("a,b\n".encode("utf-16"), "encoded in UTF-16: save it as UTF-8"),
        ("a,b\n".encode("utf-16-be"), "encoded in UTF-16: save it as UTF-8"),
        ("a,b\n".encode("utf-16-le"), "encoded in UTF-16: save it as UTF-8"),
        (b"PK\x03\x04...", "a ZIP file, as Excel workbooks are"),
        (gzip.compress(b"a", mtime=0), "compressed with gzip twice"),
    ],
)
def test_what_is_not_text_is_named(data, reason):
    with pytest.raises(UnreadableError, match=f"not a text file in UTF-8, but {reason}"):
        read_head(io.BytesIO(data))
