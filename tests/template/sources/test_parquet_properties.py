"""Odd Parquet tables, read through the template and compared cell by cell with pyarrow."""

import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from template.dead_letters import DeadLetter
from template.file_versions import FileVersion
from template.sources.parquet import split_parquet
from template.sources.streams import ReadSettings

EXAMPLES = 100
DAY = {"s": 86400, "ms": 86400_000, "us": 86400_000_000, "ns": 86400 * 10**9}
INTEGERS = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint32(), pa.uint64()]
TEMPORAL = [
    pa.date32(),
    pa.time32("ms"),
    pa.time64("us"),
    pa.time64("ns"),
    *(pa.timestamp(unit, zone) for unit in ("ms", "us", "ns") for zone in (None, "Europe/Berlin")),
]
OTHERS = [
    pa.bool_(),
    pa.float32(),
    pa.float64(),
    pa.string(),
    pa.large_string(),
    pa.binary(),
    pa.binary(3),
    pa.decimal128(30, 5),
    pa.dictionary(pa.int32(), pa.string()),
]


@st.composite
def types(draw, depth=2):
    flat = st.sampled_from([*INTEGERS, *TEMPORAL, *OTHERS])
    if not depth or draw(st.integers(0, 3)):
        return draw(flat)
    inner = types(depth=depth - 1)
    return draw(
        st.one_of(
            st.builds(pa.list_, inner),
            st.builds(pa.large_list, inner),
            st.builds(lambda a, b: pa.struct([("x", a), ("y", b)]), inner, inner),
            st.builds(lambda value: pa.map_(pa.string(), value), inner),
        ).filter(lambda type_: "dictionary" not in str(type_))
    )


def integers(bits, *, signed):
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    edges = [low, high, 0, 1, min(high, 2**53), min(high, 2**53 + 1), max(low, -(2**53) - 1)]
    return st.one_of(st.sampled_from(edges), st.integers(low, high), st.integers(0, min(high, 100)))


def arrays(type_, size):
    """Arrays of any values of a type, including those that Python does not have."""

    def of(values, make):
        return st.lists(st.one_of(st.none(), values), min_size=size, max_size=size).map(make)

    if pa.types.is_dictionary(type_):
        return arrays(type_.value_type, size).map(lambda array: array.dictionary_encode())
    if pa.types.is_integer(type_):
        signed = pa.types.is_signed_integer(type_)
        values = integers(type_.bit_width, signed=signed)
        return of(values, lambda cells: pa.array(cells, type_))
    if pa.types.is_temporal(type_):
        storage = pa.int32() if type_.bit_width == 32 else pa.int64()
        usual = st.integers(0, DAY[type_.unit] - 1 if hasattr(type_, "unit") else 20_000)
        values = st.one_of(usual, usual, integers(type_.bit_width, signed=True))
        return of(values, lambda cells: pa.array(cells, storage).view(type_))
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        lengths = st.lists(st.integers(0, 3), min_size=size, max_size=size)
        return lengths.flatmap(lambda counts: _lists(type_, counts))
    if pa.types.is_map(type_):
        lengths = st.lists(st.integers(0, 2), min_size=size, max_size=size)
        return lengths.flatmap(lambda counts: _maps(type_, counts))
    if pa.types.is_struct(type_):
        children = [arrays(field.type, size) for field in type_.fields]
        return st.tuples(*children).map(
            lambda parts: pa.StructArray.from_arrays(parts, fields=type_.fields)
        )
    plain = {
        pa.bool_(): st.booleans(),
        pa.float32(): st.floats(width=32),
        pa.float64(): st.floats(),
        pa.binary(): st.binary(max_size=5),
        pa.binary(3): st.binary(min_size=3, max_size=3),
        pa.decimal128(30, 5): st.decimals(-(10**20), 10**20, places=5),
    }
    values = plain.get(type_, st.text(st.characters(codec="utf-8"), max_size=5))
    return of(values, lambda cells: pa.array(cells, type_))


def _lists(type_, counts):
    make = pa.ListArray if pa.types.is_list(type_) else pa.LargeListArray
    offsets = np.cumsum([0, *counts])
    return arrays(type_.value_type, sum(counts)).map(
        lambda values: make.from_arrays(offsets.tolist(), values)
    )


def _maps(type_, counts):
    keys = pa.array([f"k{number}" for number in range(sum(counts))], pa.string())
    offsets = np.cumsum([0, *counts]).tolist()
    return arrays(type_.item_type, sum(counts)).map(
        lambda values: pa.MapArray.from_arrays(offsets, keys, values)
    )


@st.composite
def tables(draw):
    size = draw(st.integers(1, 12))
    columns = draw(st.lists(types(), min_size=1, max_size=4))
    return pa.table({f"c{n}": draw(arrays(type_, size)) for n, type_ in enumerate(columns)})


def elements(array):
    """Return the elements of an array, with numpy's times as they are."""
    return list(array) if array.dtype.kind in "mM" else array.tolist()


def is_same(cell, scalar):
    """Compare a cell of a frame with pyarrow's value."""
    type_ = scalar.type
    if pa.types.is_dictionary(type_):
        return is_same(cell, scalar.value)
    if not scalar.is_valid:
        return cell is None or pd.isna(cell)
    if pa.types.is_map(type_):
        entries = [(entry["key"], entry["value"]) for entry in scalar.values]
        return len(cell) == len(entries) and all(
            pair[0] == key.as_py() and is_same(pair[1], value)
            for pair, (key, value) in zip(cell, entries, strict=True)
        )
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        values = list(scalar.values)
        if pa.types.is_integer(type_.value_type) and cell.dtype == np.float64:
            numbers = [None if math.isnan(number) else int(number) for number in cell]
            return None in numbers and numbers == scalar.as_py()
        return len(cell) == len(values) and all(map(is_same, elements(cell), values))
    if pa.types.is_struct(type_):
        return list(cell) == ["x", "y"] and all(is_same(cell[n], scalar[n]) for n in ("x", "y"))
    if type_ == pa.time64("ns"):
        return pd.Timedelta(cell).value == scalar.value
    if pa.types.is_timestamp(type_):
        unit = type_.unit
        zone = getattr(cell, "tzinfo", None)
        exact = np.datetime64(scalar.value, unit)
        mine = cell.tz_convert(None) if zone is not None else cell
        mine = mine.to_datetime64() if isinstance(mine, pd.Timestamp) else mine
        return mine == exact and str(zone) == str(type_.tz)
    expected = scalar.as_py()
    if isinstance(expected, float):
        return isinstance(cell, float) and (cell == expected or math.isnan(cell + expected))
    if isinstance(expected, bool):
        return cell is expected
    return type(cell) is type(expected) and cell == expected


def read(path, **options):
    settings_ = ReadSettings(**options)
    file = FileVersion(path=str(path), size=path.stat().st_size, generation="1")
    parts = [part for split in split_parquet(file, settings_) for part in split.read(settings_)]
    blocks = [part for part in parts if not isinstance(part, DeadLetter)]
    return blocks, [part for part in parts if isinstance(part, DeadLetter)]


def is_in_calendar(scalar):
    hour = {"s": 3600, "ms": 3600_000, "us": 3600_000_000, "ns": 3600 * 10**9}[scalar.type.unit]
    low, high = (-62135596800 * hour // 3600, 253402300800 * hour // 3600)
    high = min(high, 2**63)  # at which local times of nanoseconds end
    return low <= scalar.value < high - 2 * hour  # the most that Berlin is ahead


def holds_no_python_value(scalar):
    """Say whether neither Python nor pandas has the value, so its row is a dead letter."""
    type_ = scalar.type
    if not scalar.is_valid:
        return False
    if pa.types.is_dictionary(type_):
        return False
    if pa.types.is_map(type_):
        return any(holds_no_python_value(entry["value"]) for entry in scalar.values)
    if pa.types.is_nested(type_):
        values = scalar.values if not pa.types.is_struct(type_) else scalar.values()
        return any(map(holds_no_python_value, values))
    if pa.types.is_time(type_):
        return not 0 <= scalar.value < DAY[type_.unit]
    if pa.types.is_timestamp(type_):
        if scalar.value == -(2**63):  # NaT in numpy
            return True
        utc = pa.scalar(scalar.value, pa.int64()).cast(pa.timestamp(type_.unit))
        return type_.tz is not None and not is_in_calendar(utc)
    try:
        scalar.as_py()
    except (ValueError, OverflowError):
        return True
    return False


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(table=tables(), group=st.integers(1, 12), batch_size=st.integers(1, 12))
def test_every_cell_is_what_pyarrow_reads(table, group, batch_size, tmp_path_factory):
    path = tmp_path_factory.mktemp("t") / "t.parquet"
    pq.write_table(table, path, row_group_size=group)
    expected = pq.read_table(path)
    blocks, letters = read(path, batch_size=batch_size)
    seen = []
    for block in blocks:
        assert len(block) <= batch_size
        assert list(block.frame) == expected.column_names
        for position, row in enumerate(block.index.tolist()):
            seen.append(row)
            for name, column in block.frame.items():
                scalar = expected[name][row]
                assert is_same(column.tolist()[position], scalar) or is_same(
                    column.iloc[position], scalar
                ), (name, column.iloc[position], scalar)
                if pa.types.is_integer(scalar.type) and scalar.is_valid and block.integers == ():
                    assert column.dtype == scalar.type.to_pandas_dtype()
    for letter in letters:
        row = int(letter.source.rpartition(" ")[2])
        seen.append(row)
        cells = [expected[name][row] for name in expected.column_names]
        assert any(map(holds_no_python_value, cells)), (letter.error, cells)
    assert sorted(seen) == list(range(len(table)))


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    table=tables().filter(lambda table: not pa.types.is_nested(table.schema.types[0])),
    batch_size=st.integers(1, 12),
)
def test_every_key_is_the_text_of_its_row(table, batch_size, tmp_path_factory):
    path = tmp_path_factory.mktemp("t") / "t.parquet"
    pq.write_table(table, path)
    blocks, letters = read(path, batch_size=batch_size, key_column="c0")
    keys = {
        row: key
        for block in blocks
        for row, key in zip(block.index, block.beside["key"], strict=True)
    }
    column = pq.read_table(path)["c0"]
    for row, key in keys.items():
        cell = column[row]
        assert key
        if pa.types.is_integer(cell.type) or pa.types.is_string(cell.type):
            assert key == str(cell.as_py())
    rows = [int(letter.source.rpartition(" ")[2]) for letter in letters]
    assert sorted([*keys, *rows]) == list(range(len(table)))
