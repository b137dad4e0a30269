"""Writes the rows of a CSV file as Parquet files by pyarrow, and compares the snapshots that the trainer makes of them.

compare_parquet.py TRAINER SPEC CSV SNAPSHOT WORK

SNAPSHOT is the one of the CSV file. Its data.parquet has to be that of every Parquet file, byte for byte.
"""

import decimal
import pathlib
import subprocess
import sys

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

NAMES = "age sex cp trestbps chol fbs restecg thalach exang oldpeak slope ca thal num".split()


def read(path):
    return pa.csv.read_csv(
        path,
        read_options=pa.csv.ReadOptions(column_names=NAMES),
        convert_options=pa.csv.ConvertOptions(null_values=["?"], column_types={name: pa.float64() for name in NAMES}),
    )


def cast(table, types):
    return table.cast(pa.schema([(name, types.get(name, pa.float64())) for name in NAMES]))


def variants(table):
    whole = [name for name in NAMES if name != "oldpeak"]
    integers = cast(table, {name: pa.int64() for name in whole})
    small = cast(table, {name: pa.uint8() if name == "sex" else pa.int16() for name in whole} | {"oldpeak": pa.float32()})
    texts = table.set_column(NAMES.index("thal"), "thal", integers["thal"].cast(pa.string()).dictionary_encode())
    prices = [None if value is None else decimal.Decimal(str(value)) for value in table["oldpeak"].to_pylist()]
    decimals = table.set_column(NAMES.index("oldpeak"), "oldpeak", pa.array(prices, pa.decimal128(20, 3)))
    yield "snappy", table, {}
    yield "zstd", integers, {"compression": "zstd", "row_group_size": 17}
    yield "gzip", small, {"compression": "gzip", "data_page_size": 64}
    yield "lz4", texts, {"compression": "lz4"}
    yield "decimal", decimals, {"store_decimal_as_integer": True}
    yield "fixed", decimals, {"compression": "none"}
    yield "second", texts, {"data_page_version": "2.0", "use_dictionary": False}
    yield "delta", texts, {"use_dictionary": False, "column_encoding": {"thal": "DELTA_BYTE_ARRAY"}}
    yield "stream", small, {"use_dictionary": False, "column_encoding": {"oldpeak": "BYTE_STREAM_SPLIT"}}


def main():
    trainer, spec, csv, snapshot, work = sys.argv[1:]
    work = pathlib.Path(work)
    work.mkdir(parents=True)
    expected = (pathlib.Path(snapshot) / "data.parquet").read_bytes()
    for name, table, options in variants(read(csv)):
        path = work / f"{name}.parquet"
        pq.write_table(table, path, **options)
        out = work / name
        subprocess.run([trainer, "snapshot", "--spec", spec, "--source", path, "--out", out], check=True, stdout=subprocess.DEVNULL)
        if (out / "data.parquet").read_bytes() != expected:
            sys.exit(f"the snapshot of {path.name} has other rows than that of {csv}")
        print(f"{path.name}: {table.num_rows} rows as in the CSV file")


main()
