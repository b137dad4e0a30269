"""Writes a table of N rows x 30 columns as CSV and as Parquet: 24 columns of numbers, 3 of strings, 2 with few values, and the target.

usage: table.py ROWS FOLDER [csv] [parquet]
"""

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

CHUNK = 250_000
# Decimal places of the columns that are not integers: amounts, rates, measurements with all digits of a 32-bit float.
DIGITS = [0, 1, 1, 2, 2, 2, 2, 3, 3, 4, 4, 5, 6, 6, 7, 7]
INTEGERS = [10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 90]
WORDS = [12, 50, 200]


def make_chunk(rows: int, first: int) -> pa.Table:
    random = np.random.default_rng([7, first])
    columns: dict[str, pa.Array] = {}
    signal = np.zeros(rows)
    for at, digits in enumerate(DIGITS):
        values = np.round(random.normal(scale=10.0, size=rows), digits)
        signal += values * (0.04 if at % 3 == 0 else 0.0)
        absent = random.random(rows) < (0.05 if at % 5 == 0 else 0.0)
        columns[f"x{at}"] = pa.array(values, mask=absent)
    for at, most in enumerate(INTEGERS):
        values = random.integers(0, most, rows)
        signal += (values / most - 0.5) * (1.0 if at % 2 == 0 else 0.0)
        columns[f"n{at}"] = pa.array(values)
    for at, count in enumerate(WORDS):
        names = [f"{'region branch product'.split()[at]} {number}" for number in range(count)]
        codes = random.integers(0, count, rows)
        signal += (codes % 3 - 1) * 0.5
        columns[f"w{at}"] = pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), names).cast(pa.string())
    columns["flag"] = pa.array(random.integers(0, 2, rows))
    columns["grade"] = pa.array(random.integers(1, 6, rows))
    chance = 1.0 / (1.0 + np.exp(-signal))
    columns["y"] = pa.array((random.random(rows) < chance).astype(np.int8))
    return pa.table(columns)


def main() -> None:
    rows, folder, formats = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:] or ["csv", "parquet"]
    folder.mkdir(parents=True, exist_ok=True)
    schema = make_chunk(1, 0).schema
    writers = []
    if "csv" in formats:
        options = pyarrow.csv.WriteOptions(quoting_style="needed")
        writers.append(pyarrow.csv.CSVWriter(folder / f"{rows}.csv", schema, write_options=options))
    if "parquet" in formats:
        writers.append(pyarrow.parquet.ParquetWriter(folder / f"{rows}.parquet", schema, compression="zstd"))
    for first in range(0, rows, CHUNK):
        chunk = make_chunk(min(CHUNK, rows - first), first)
        for writer in writers:
            writer.write_table(chunk)
    for writer in writers:
        writer.close()


if __name__ == "__main__":
    main()
