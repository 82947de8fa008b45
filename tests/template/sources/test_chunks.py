"""Records of text, compared with the csv module, and chunks of them."""

import csv
import gzip
import io
import random

import pytest

from template.sources.chunks import (
    MAX_RECORD_BYTES,
    LostRow,
    UnreadableError,
    UnreadableRestError,
    read_chunks,
    read_head,
)
from template.sources.records import (
    BrokenRecordError,
    CsvRecords,
    Lines,
    is_blank_record,
    split_records,
)

CSV = CsvRecords(b",")


def records_of(data):
    return list(split_records(data, delimiter=b","))


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


def random_csv(generator):
    pieces = ['"', '""', ",", "\n", "\n\n", "a", "bc", " ", '"x\ny"', '"q""q"', "\r\n", "\r"]
    if generator.random() < 0.5:  # quotes where they belong
        pieces = [",", "\n", "a,", "bc\n", ' ,"x\ny"\n', '"q""\nq",', '"",', '""""\n', "\r\n"]
    return "".join(generator.choices(pieces, k=generator.randint(1, 30))).encode()


def test_ends_are_found_at_once_as_line_by_line():
    generator = random.Random(12)
    alternating = 0
    for _ in range(10_000):
        data = random_csv(generator)
        lines, end = [], 0
        try:
            for record in split_records(data, delimiter=b","):
                end += len(record)
                lines += [end] * record.endswith(b"\n")
        except BrokenRecordError:
            pass
        assert CSV.find_ends(data).tolist() == lines, data
        quotes = [place for place, character in enumerate(data) if character == ord('"')]
        alternating += len(quotes) > 2 and all(
            not place or data[place - 1] in b'",\n' for place in quotes[::2]
        )
    assert alternating > 1000


@pytest.mark.parametrize("chunk_bytes", [1, 3, 20, 1000])
@pytest.mark.parametrize("chunk_rows", [None, 1, 3])
def test_chunks_are_the_records_wherever_reads_end(chunk_bytes, chunk_rows):
    generator = random.Random(13)
    for _ in range(300):
        data = random_csv(generator)
        records, broken, row, rows = [], None, 0, []
        try:
            records.extend(split_records(data, delimiter=b","))
        except BrokenRecordError as error:
            end = sum(map(len, complete_records(data)))
            records, broken = list(split_records(data[:end], delimiter=b",")), error
        expected = [record for record in records if not is_blank_record(record)]
        chunks = read_chunks(
            io.BytesIO(data), CSV, offset=7, chunk_bytes=chunk_bytes, chunk_rows=chunk_rows
        )
        try:
            for chunk in chunks:
                assert chunk.first_row == row
                assert chunk.rows <= (chunk_rows or chunk.rows)
                assert data[chunk.offset - 7 :].startswith(chunk.data)
                found = [
                    record
                    for record in split_records(chunk.data, delimiter=b",")
                    if not is_blank_record(record)
                ]
                assert len(found) == chunk.rows
                rows += found
                row += chunk.rows
            assert broken is None
        except UnreadableRestError as error:
            assert broken is not None, data
            assert error.first_row == row == len(expected)
        assert rows == expected


def complete_records(data):
    try:
        yield from split_records(data, delimiter=b",")
    except BrokenRecordError:
        return


def test_chunks_know_their_rows_and_their_place():
    data = b"\n".join(b"row %d" % row for row in range(100)) + b"\n\n\r\nlast"
    chunks = list(read_chunks(io.BytesIO(data), CSV, chunk_bytes=50))
    assert len(chunks) > 10
    assert sum(chunk.rows for chunk in chunks) == 101
    row = 0
    for chunk in chunks:
        assert chunk.first_row == row
        assert data[chunk.offset : chunk.offset + len(chunk.data)] == chunk.data
        row += chunk.rows


def test_lines_of_white_space_are_rows_of_csv_and_not_of_json():
    data = b" \n\t\n{}\n\n  \r\n{}"
    (json,) = read_chunks(io.BytesIO(data), Lines())
    assert (json.rows, json.offset, json.data) == (2, 4, data[4:])
    (csv_,) = read_chunks(io.BytesIO(data), CSV)
    assert (csv_.rows, csv_.offset, csv_.data) == (5, 0, data)


def test_what_precedes_an_open_quote_is_kept():
    chunks = read_chunks(io.BytesIO(b'a,b\nc,"d\ne\n'), CSV)
    assert next(chunks).data == b"a,b\n"
    with pytest.raises(UnreadableRestError, match="row 1 on: a quoted field is not closed") as info:
        next(chunks)
    assert info.value.first_row == 1


@pytest.mark.parametrize("records", [Lines(), CsvRecords(b",")], ids=["lines", "csv"])
def test_what_precedes_the_damage_of_a_gzip_file_is_kept(records):
    data = b"".join(b"%d,%d\n" % (row, row**3) for row in range(20_000))
    compressed = gzip.compress(data)[:-4000]
    chunks = read_chunks(gzip.GzipFile(fileobj=io.BytesIO(compressed)), records)
    chunk = next(chunks)
    assert data.startswith(chunk.data)
    assert chunk.rows > 10_000
    with pytest.raises(UnreadableRestError, match="the file is damaged"):
        next(chunks)


def test_memory_is_bounded_where_a_record_never_ends():
    class Endless(io.RawIOBase):
        def readable(self):
            return True

        def readinto(self, buffer):
            buffer[:] = b"x" * len(buffer)
            return len(buffer)

    chunks = read_chunks(io.BufferedReader(Endless()), CSV)
    with pytest.raises(UnreadableRestError, match=f"longer than {MAX_RECORD_BYTES >> 20} MiB"):
        next(chunks)


@pytest.mark.parametrize("chunk_bytes", [1, 7, 1000])
def test_a_line_over_the_limit_costs_that_line(chunk_bytes):
    data = b"row 0\n" + b"x" * 100 + b"\n\nrow 2\n" + b"z" * 20 + b"\n" + b"y" * 30
    chunks = list(read_chunks(io.BytesIO(data), Lines(), chunk_bytes=chunk_bytes, max_bytes=20))
    assert [getattr(chunk, "data", chunk) for chunk in chunks] == [
        b"row 0\n",
        LostRow(row=1, problem="a line of 101 bytes is too long"),
        b"row 2\n",
        LostRow(row=3, problem="a line of 21 bytes is too long"),
        LostRow(row=4, problem="a line of 30 bytes is too long"),
    ]
    assert (chunks[2].first_row, chunks[2].rows) == (2, 1)
    assert data[chunks[2].offset :].startswith(chunks[2].data)


@pytest.mark.parametrize("chunk_bytes", [1, 7, 1000])
def test_a_record_of_csv_over_the_limit_costs_what_follows(chunk_bytes):
    data = b"row 0\n" + b"x" * 100 + b"\nrow 2\n"
    chunks = read_chunks(io.BytesIO(data), CSV, chunk_bytes=chunk_bytes, max_bytes=20)
    assert next(chunks).data == b"row 0\n"
    with pytest.raises(UnreadableRestError, match="from row 1 on: a record is longer than"):
        next(chunks)


def test_a_line_of_the_limit_is_read_with_its_end():
    (chunk,) = read_chunks(io.BytesIO(b"x" * 9 + b"\ny"), Lines(), max_bytes=10)
    assert chunk.rows == 2


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
