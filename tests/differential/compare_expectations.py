"""Evaluates the same expectations by the trainer and by Great Expectations' pandas data source, and compares the two results.

    compare_expectations.py TRAINER REPOSITORY WORK [SEEDS]

Every field is compared, numbers within 1e-12 of each other, but for what names a run: `id`, `suite_name`, `rendered_content`,
`meta` of the suite and of the expectations, `batch_id` in `kwargs`, and the words of exceptions (that there was one is compared).

Where the two differ on purpose:

* A column of texts is a `str` in a `typeList`. Great Expectations compares pandas' StringDtype with numpy's types, which is never equal.
* A sum of texts is an exception. pandas adds them up where a row with a missing value hides them.
* Missing values are counted together in `partial_unexpected_counts`. NaN differs from itself, so Great Expectations may count each, lists
  them in any order, and leaves the field out where it cannot sort them.
* `partial_missing_list` is in the order of the spec. A set of Python has none.

pandas reads a file with `keep_default_na=False`: the empty text and `csv.missing` are missing, nothing else is. Columns of true and
false are texts.
"""

import datetime
import json
import math
import os
import random
import re
import subprocess
import sys
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")
os.environ["GX_ANALYTICS_ENABLED"] = "False"

import great_expectations as gx
import great_expectations.expectations as gxe
import numpy
import pandas

TRAINER, REPOSITORY, WORK = (Path(argument) for argument in sys.argv[1:4])
SEEDS = int(sys.argv[4]) if len(sys.argv) > 4 else 3
TOLERANCE = 1e-12


# === the same suite for both ===

NAMES = {"columnA": "column_A", "columnB": "column_B", "valueType": "type_"}
DECIMALS = {"minValue", "maxValue", "mostly", "threshold", "sumTotal", "tailWeightHoldout"}


def snake(name):
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


def number(text):
    return float(text) if re.search(r"[.eE]", text) else int(text)


def typed(frame, column, text):
    """A text of the spec as the column has its values."""
    if text == "":
        return None
    if column in frame and pandas.api.types.is_numeric_dtype(frame[column]):
        try:
            return number(text)
        except ValueError:
            return text
    return text


def to_gx(given, frame):
    """The expectation of Great Expectations that an entry of the spec stands for."""
    kwargs = {}
    for name, value in given.items():
        if name in ("type", "severity"):
            continue
        if name in DECIMALS:
            value = number(value)
        elif name in ("valueSet",):
            value = [typed(frame, given["column"], text) for text in value]
        elif name == "valuePairsSet":
            value = [[typed(frame, given["columnA"], p["a"]), typed(frame, given["columnB"], p["b"])] for p in value]
        elif name == "quantileRanges":
            end = lambda text: None if text is None else number(text)
            value = {
                "quantiles": [number(entry["quantile"]) for entry in value],
                "value_ranges": [[end(entry.get("minValue")), end(entry.get("maxValue"))] for entry in value],
            }
        elif name == "partitionObject":
            value = {
                "values": [typed(frame, given["column"], entry["value"]) for entry in value],
                "weights": [number(entry["weight"]) for entry in value],
            }
        elif name == "ignoreRowIf":
            value = snake(value)
        elif name in ("matchOn", "valueType"):
            value = value.lower()
        elif name == "typeList":
            value = [entry.lower() for entry in value]
        kwargs[NAMES.get(name, snake(name))] = value
    kind = given["type"].replace("ExpectColumnKl", "ExpectColumnKL")
    if kind == "ExpectColumnValueZScoresToBeLessThan":
        kwargs.setdefault("double_sided", True)
    if kind == "ExpectTableColumnCountToBeBetween":
        kwargs.setdefault("min_value", None)
        kwargs.setdefault("max_value", None)
    return getattr(gxe, kind)(**kwargs, severity=given.get("severity", "Critical").lower())


# === running ===


def by_trainer(name, csv, path, suite):
    columns = csv.get("columns") or list(pandas.read_csv(path, nrows=0, keep_default_na=False).columns)
    spec = {
        "apiVersion": "modelward.io/v1alpha1",
        "kind": "ModelVersion",
        "metadata": {"name": "x-1"},
        "spec": {
            "model": "x",
            "source": {
                "training": {
                    "dataset": {"configMap": {"name": "x", "key": "x.csv"}, "csv": csv},
                    "target": {"column": columns[-1]},
                    "expectations": suite,
                }
            },
            "serving": {"access": "Open"},
        },
    }
    file, out = WORK / f"{name}.json", WORK / f"{name}-result.json"
    file.write_text(json.dumps(spec))
    ran = subprocess.run(
        [TRAINER, "validate", "--spec", file, "--source", path, "--json", out, "--html", WORK / f"{name}.html"],
        capture_output=True,
        text=True,
    )
    if ran.returncode not in (0, 2) or not out.exists():
        sys.exit(f"{name}: {ran.stderr}{ran.stdout}")
    result = json.loads(out.read_text())
    critical = [r for r in result["results"] if not r["success"] and r["expectation_config"]["severity"] == "critical"]
    if ran.returncode != (2 if critical else 0):
        sys.exit(f"{name}: exit code {ran.returncode}, {len(critical)} critical expectations are not met")
    return result


def read(csv, path):
    options = {
        "keep_default_na": False,
        "na_values": ["", *csv.get("missing", [])],
        "float_precision": "round_trip",
        "sep": csv.get("delimiter", ","),
    }
    if not csv.get("header", True):
        options |= {"header": None, "names": csv["columns"]}
    frame = pandas.read_csv(path, **options)
    truths = {c: "str" for c in frame if frame[c].dtype in ("bool", "object")}
    return pandas.read_csv(path, dtype=truths, **options) if truths else frame


def by_gx(frame, suite):
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    batch = context.data_sources.pandas_default.read_dataframe(frame)
    expectations = [to_gx(given, frame) for given in suite]
    for at, expectation in enumerate(expectations):
        expectation.meta = {"at": at}
    result = batch.validate(gx.ExpectationSuite(name="x", expectations=expectations), result_format="SUMMARY")
    result = plain(result.to_json_dict())
    # The order of its results is that of its metrics.
    result["results"].sort(key=lambda entry: entry["expectation_config"]["meta"]["at"])
    return result


def plain(value):
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, numpy.generic):
        value = value.item()
    if isinstance(value, float) and math.isnan(value):
        return None
    return value


# === comparing ===


def has_missing(value):
    return value is None or (isinstance(value, list) and any(has_missing(inner) for inner in value))


def normal(result):
    """Without what names a run, and in one order where there is none."""
    result = {key: value for key, value in result.items() if key not in ("id", "suite_name", "meta")}
    entries = []
    for entry in result["results"]:
        config = entry["expectation_config"]
        kwargs = {k: v for k, v in config["kwargs"].items() if k != "batch_id" and v is not None}
        info = entry["exception_info"]
        raised = info.get("raised_exception")
        if raised is None:
            raised = any(inner["raised_exception"] for inner in info.values())
        found = dict(entry["result"])
        if "partial_missing_list" in found:
            found["partial_missing_list"] = sorted(found["partial_missing_list"], key=str)
        counts = found.get("partial_unexpected_counts")
        if any(has_missing(list(row.values()) if isinstance(row, dict) else row) for row in found.get("partial_unexpected_list", [])):
            # Missing values: in any order, counted together, or not at all.
            merged = {}
            for count in counts or []:
                key = json.dumps(count["value"])
                merged[key] = merged.get(key, 0) + count["count"]
            found["partial_unexpected_counts"] = sorted(merged.items()) if counts is not None else "left out"
        kind = config["type"]
        entries.append(
            {
                "success": entry["success"],
                "type": kind,
                "kwargs": kwargs,
                "severity": config["severity"],
                "result": found,
                "raised": raised,
            }
        )
    result["results"] = entries
    return result


def numbers(value):
    """Missing keys were written as JSON, in which 1 and 1.0 differ."""
    return re.sub(r"(\d)\.0(?=[,\]\s]|$)", r"\1", value) if isinstance(value, str) else value


def differ(ours, theirs, path=""):
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted(ours.keys() | theirs.keys()):
            if key not in ours or key not in theirs:
                yield f"{path}.{key}: only {'we have' if key in ours else 'they have'} {ours.get(key, theirs.get(key))}"
            elif key == "partial_unexpected_counts" and theirs[key] == "left out":
                continue
            elif key == "partial_unexpected_counts" and ours[key] and isinstance(ours[key][0], tuple):
                yield from differ([(numbers(k), v) for k, v in ours[key]], [(numbers(k), v) for k, v in theirs[key]], f"{path}.{key}")
            else:
                yield from differ(ours[key], theirs[key], f"{path}.{key}")
    elif isinstance(ours, (list, tuple)) and isinstance(theirs, (list, tuple)):
        if len(ours) != len(theirs):
            yield f"{path}: {len(ours)} and {len(theirs)} entries: {ours} and {theirs}"
        for at, (a, b) in enumerate(zip(ours, theirs)):
            yield from differ(a, b, f"{path}[{at}]")
    elif isinstance(ours, (int, float)) and isinstance(theirs, (int, float)) and not isinstance(ours, bool):
        if not math.isclose(ours, theirs, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            yield f"{path}: {ours!r} and {theirs!r}"
    elif ours != theirs or type(ours) is not type(theirs):
        yield f"{path}: {ours!r} and {theirs!r}"


def is_known(entry):
    """Texts in a list of types."""
    return (
        entry["type"] == "expect_column_values_to_be_in_type_list"
        and entry["result"].get("observed_value") == "str"
        and "str" in entry["kwargs"]["type_list"]
    )


def compare(name, csv, path, suite):
    ours = normal(by_trainer(name, csv, path, suite))
    theirs = normal(by_gx(read(csv, path), suite))
    known = 0
    for a, b in zip(ours["results"], theirs["results"]):
        if is_known(a):
            assert a["success"] and not b["success"], (a, b)
            b["success"] = True
            known += 1
    if known:
        # The statistics follow from the results.
        met = sum(entry["success"] for entry in theirs["results"])
        statistics = theirs["statistics"]
        statistics["successful_expectations"] = met
        statistics["unsuccessful_expectations"] = len(suite) - met
        statistics["success_percent"] = met / len(suite) * 100
        theirs["success"] = met == len(suite)
    differences = []
    for at, (a, b) in enumerate(zip(ours["results"], theirs["results"])):
        differences += [f"{json.dumps(suite[at])}\n    {text}" for text in differ(a, b)]
    raised = sum(entry["raised"] for entry in ours["results"])
    for part in (ours, theirs):
        part["results"] = len(part["results"])
    differences += list(differ(ours, theirs))
    met = ours["statistics"]["successful_expectations"]
    print(f"== {name}: {len(suite)} expectations, {met} met, {raised} exceptions, {known} known to differ, {len(differences)} differences")
    for text in differences[:20]:
        print("  " + text)
    return (bool(differences), {given["type"] for given in suite})


# === the suites ===


def decimal(value):
    value = max(-9e11, min(9e11, value))
    text = f"{value:.6f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


class Writer:
    """Random expectations of a file. What a column holds decides what is asked of it, and now and then the wrong is asked."""

    def __init__(self, frame, seed):
        self.frame, self.random = frame, random.Random(seed)

    def column(self):
        return self.random.choice([*self.frame.columns] * 12 + ["no such column"])

    def texts(self, column, most):
        present = [] if column not in self.frame else [v for v in self.frame[column].unique() if not pandas.isna(v)]
        some = self.random.sample(present, min(len(present), self.random.randint(1, most)))
        texts = [str(v)[:128] for v in some]
        if self.random.random() < 0.4 or not texts:
            texts.append(self.random.choice(["x", "7", "-1.5", "zz"]))
        return list(dict.fromkeys(texts))

    def ends(self, column, function=None):
        values = None
        if column in self.frame and pandas.api.types.is_numeric_dtype(self.frame[column]):
            values = self.frame[column].dropna()
        if function and values is not None and len(values):
            middle = function(values)
            middle = 0.0 if pandas.isna(middle) else float(middle)
            low, high = sorted(middle + self.random.choice([-1.5, -0.25, 0, 0, 0.5, 2]) * max(1, abs(middle)) * 0.1 for _ in "ab")
        elif values is not None and len(values):
            low, high = sorted(float(values.quantile(self.random.random())) for _ in "ab")
        else:
            low, high = 0.0, 5.0
        ends = {"minValue": decimal(low), "maxValue": decimal(high)}
        if self.random.random() < 0.25:
            ends.pop(self.random.choice(list(ends)))
        for strict in ("strictMin", "strictMax"):
            if self.random.random() < 0.25:
                ends[strict] = self.random.random() < 0.5
        return ends

    def whole_ends(self, most):
        low, high = sorted(self.random.randint(0, most) for _ in "ab")
        return {"minValue": str(low), "maxValue": str(high)}

    def mostly(self, given):
        if self.random.random() < 0.3:
            given["mostly"] = decimal(self.random.choice([0, 0.5, 0.9, 0.95, 1]))
        return given

    def pair(self):
        a, b = self.random.sample([*self.frame.columns] * 2 + ["no such column"], 2)
        return {"columnA": a, "columnB": b} if a != b else self.pair()

    def several(self):
        return {"columnList": self.random.sample([*self.frame.columns], min(len(self.frame.columns), self.random.randint(2, 4)))}

    def maybe(self, **options):
        return {name: self.random.choice(values) for name, values in options.items() if self.random.random() < 0.5}

    def one(self, kind):
        column = self.column()
        of = {"type": kind, "column": column}
        table = {"type": kind}
        names, r = [*self.frame.columns], self.random
        aggregate = {
            "Min": lambda v: v.min(), "Max": lambda v: v.max(), "Mean": lambda v: v.mean(), "Median": lambda v: v.median(),
            "Stdev": lambda v: v.std(), "Sum": lambda v: v.sum(),
        }
        for name, function in aggregate.items():
            if kind == f"ExpectColumn{name}ToBeBetween":
                return of | self.ends(column, function)
        pair_rule = self.maybe(ignoreRowIf=["BothValuesAreMissing", "EitherValueIsMissing", "Neither"])
        several_rule = self.maybe(ignoreRowIf=["AllValuesAreMissing", "AnyValueIsMissing", "Never"])
        regexes = ["^[a-z]+$", "a", "[0-9]{2}", r"\.0$", "^$", "(?i)B|c", "é", r"\d+", "^-", "x y"]
        match kind:
            case "ExpectColumnToExist":
                return of | self.maybe(columnIndex=[0, 1, 2, 40])
            case "ExpectTableColumnCountToEqual":
                return table | {"value": len(names) + r.randint(0, 1)}
            case "ExpectTableRowCountToEqual":
                return table | {"value": len(self.frame) + r.randint(0, 1)}
            case "ExpectTableColumnCountToBeBetween" | "ExpectTableRowCountToBeBetween":
                return table | self.whole_ends(2 * len(names) if "Column" in kind else 2 * len(self.frame))
            case "ExpectTableColumnsToMatchSet":
                chosen = r.sample(names, r.randint(1, len(names))) + r.choice([[], ["another"]])
                return table | {"columnSet": r.choice([names, chosen])} | self.maybe(exactMatch=[True, False])
            case "ExpectTableColumnsToMatchOrderedList":
                return table | {"columnList": r.choice([names, names[:-1], names[::-1], [*names, "another"]])}
            case "ExpectColumnValuesToBeOfType":
                return of | {"valueType": r.choice(["Int", "Int64", "Float", "Float64", "Str"])}
            case "ExpectColumnValuesToBeInTypeList":
                return of | {"typeList": r.sample(["Int", "Int64", "Float", "Float64", "Str"], r.randint(1, 3))}
            case "ExpectColumnValuesToNotBeNull" | "ExpectColumnValuesToBeNull" | "ExpectColumnValuesToBeUnique":
                return self.mostly(of)
            case "ExpectColumnValuesToBeBetween":
                return self.mostly(of | self.ends(column))
            case "ExpectColumnQuantileValuesToBeBetween":
                quantiles = sorted(r.sample([0, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 1], r.randint(1, 4)))
                ends = lambda: {k: v for k, v in self.ends(column).items() if "strict" not in k}
                return of | {"quantileRanges": [{"quantile": decimal(q)} | ends() for q in quantiles]}
            case "ExpectColumnValueZScoresToBeLessThan":
                return self.mostly(of | {"threshold": r.choice(["1", "2.5", "0.3"])} | self.maybe(doubleSided=[True, False]))
            case "ExpectColumnValuesToBeIncreasing" | "ExpectColumnValuesToBeDecreasing":
                return self.mostly(of | self.maybe(strictly=[True, False]))
            case "ExpectColumnValuesToBeInSet" | "ExpectColumnValuesToNotBeInSet":
                return self.mostly(of | {"valueSet": self.texts(column, 40)})
            case "ExpectColumnDistinctValuesToBeInSet" | "ExpectColumnDistinctValuesToEqualSet" | "ExpectColumnDistinctValuesToContainSet":
                return of | {"valueSet": self.texts(column, 40)}
            case "ExpectColumnMostCommonValueToBeInSet":
                return of | {"valueSet": self.texts(column, 40)} | self.maybe(tiesOkay=[True, False])
            case "ExpectColumnUniqueValueCountToBeBetween":
                return of | self.whole_ends(len(self.frame)) | self.maybe(strictMin=[True])
            case "ExpectColumnProportionOfUniqueValuesToBeBetween":
                low, high = sorted(r.random() for _ in "ab")
                return of | {"minValue": decimal(low), "maxValue": decimal(high)}
            case "ExpectCompoundColumnsToBeUnique" | "ExpectSelectColumnValuesToBeUniqueWithinRecord":
                return self.mostly(table | self.several() | several_rule)
            case "ExpectMulticolumnSumToEqual":
                columns = [c for c in names if pandas.api.types.is_numeric_dtype(self.frame[c])]
                columns = r.sample(columns, min(len(columns), r.randint(2, 4)))
                return self.mostly(table | {"columnList": columns} | several_rule | {"sumTotal": r.choice(["3", "100", "0.3"])})
            case "ExpectColumnValuesToMatchRegex" | "ExpectColumnValuesToNotMatchRegex":
                return self.mostly(of | {"regex": r.choice(regexes)})
            case "ExpectColumnValuesToMatchRegexList":
                return self.mostly(of | {"regexList": r.sample(regexes, 2)} | self.maybe(matchOn=["Any", "All"]))
            case "ExpectColumnValuesToMatchStrftimeFormat":
                return self.mostly(of | {"strftimeFormat": r.choice(["%Y-%m-%d", "%d.%m.%Y", "%Y-%m-%d %H:%M:%S", "%b %d %y"])})
            case "ExpectColumnValueLengthsToBeBetween":
                return self.mostly(of | self.whole_ends(8) | self.maybe(strictMin=[True, False], strictMax=[True, False]))
            case "ExpectColumnValueLengthsToEqual":
                return self.mostly(of | {"value": r.randint(1, 6)})
            case "ExpectColumnPairValuesAToBeGreaterThanB":
                return self.mostly(table | self.pair() | pair_rule | self.maybe(orEqual=[True, False]))
            case "ExpectColumnPairValuesToBeEqual":
                return self.mostly(table | self.pair() | pair_rule)
            case "ExpectColumnPairValuesToBeInSet":
                pair = self.pair()
                a, b = self.texts(pair["columnA"], 6) + [""], self.texts(pair["columnB"], 6) + [""]
                pairs = [{"a": x, "b": y} for x in a for y in b if r.random() < 0.8] or [{"a": "x", "b": "y"}]
                return self.mostly(table | pair | pair_rule | {"valuePairsSet": pairs})
            case "ExpectColumnKlDivergenceToBeLessThan":
                values = self.texts(column, 6)
                weights = [round(1 / len(values), 6)] * len(values)
                weights[-1] = round(1 - sum(weights[:-1]), 6)
                shares = [{"value": v, "weight": decimal(w)} for v, w in zip(values, weights)]
                return of | {"partitionObject": shares, "threshold": r.choice(["0.1", "1"])} | self.maybe(tailWeightHoldout=["0.1"])
        raise KeyError(kind)


def types():
    """The types of the API, from its documentation."""
    text = (REPOSITORY / "crds/yaml/modelversions.yaml").read_text()
    return sorted(set(re.findall(r"^ *- (Expect\w+)$", text, re.M)))


def mixed(path, seed, rows):
    """A file with missing values, dates, texts, duplicates and extreme numbers."""
    r = random.Random(seed)
    lines = ["id,amount,other,code,word,day,rare,empty,large,truth,mixed,label"]
    for at in range(rows):
        cells = [
            str(at + 1 if r.random() < 0.97 else at),
            r.choice(["", f"{r.gauss(0, 10):.3f}", f"{r.lognormvariate(0, 4):.6g}"]) if at % 3 else f"{r.random():.17g}",
            r.choice(["", str(r.randint(0, 5)), str(r.randint(0, 5))]),
            str(r.randint(0, 3)),
            r.choice(["a", "b", "c", "a", "b", "café", "x y", "B", "", '"q, ""r"""', "zz top"]),
            r.choice(["2020-01-31", "2020-02-30", "2021-12-01", "1.2.2020", "2020-01-01 10:11:12", "Jan 05 21", ""]),
            "" if r.random() < 0.95 else r.choice(["7", "8.5"]),
            "",
            r.choice(["1e20", "-1e-7", "123456789012345", "0.1", "3", "1e16", "1e15"]),
            r.choice(["true", "false"]),
            r.choice(["1", "2.5", "n/a", "-"]),
            str(r.randint(0, 1)),
        ]
        lines.append(",".join(cells))
    path.write_text("\n".join(lines) + "\n")


FORMATS = [
    "%Y-%m-%d", "%d.%m.%y", "%m/%d/%Y", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f%z", "%d %b %Y", "%B %d, %Y", "%a %d %b %Y",
    "%A %I:%M %p", "%Y%m%d", "%H:%M", "%% %S", "%y%m%d %Z", "%w %Y",
]


def dates(path, seed, rows):
    """A column for each format, of dates in it and of what is almost one."""
    r = random.Random(seed)
    lines = [",".join(f"f{at}" for at in range(len(FORMATS)))]
    start = datetime.datetime(1890, 1, 1, tzinfo=datetime.timezone.utc)
    for _ in range(rows):
        cells = []
        for form in FORMATS:
            text = (start + datetime.timedelta(seconds=r.randint(0, 6_000_000_000))).strftime(form).replace("+0000", r.choice(["+0000", "+01:30", "-2359", "+2400", "Z", "+01:3015", "+0130:15", "-11:30:59.5"]))
            for _ in range(r.choice([0, 0, 1, 2])):
                at = r.randrange(len(text))
                text = r.choice([text[:at] + r.choice("0123456789 :-/xZ") + text[at + 1 :], text[:at] + text[at + 1 :], text + "0"]) or "x"
            cells.append('"' + text.strip() + '"')
        lines.append(",".join(cells))
    path.write_text("\n".join(lines) + "\n")


def once(suite):
    """Without a second expectation of a column's quantiles: Great Expectations gives it the values of the first one's quantiles."""
    columns = set()
    kept = []
    for given in suite:
        if given["type"] != "ExpectColumnQuantileValuesToBeBetween" or given["column"] not in columns:
            kept.append(given)
            columns.add(given["column"] if "Quantile" in given["type"] else None)
    return kept


def main():
    WORK.mkdir(parents=True, exist_ok=True)
    heart = REPOSITORY / "manifests/samples/heart-disease"
    names = "age sex cp trestbps chol fbs restecg thalach exang oldpeak slope ca thal num".split()
    bare = {"header": False, "columns": names, "missing": ["?"]}
    files = [("cleveland", bare, heart / "cleveland.csv"), ("hungarian", bare, heart / "hungarian.csv")]
    for at, rows in enumerate([300, 40, 3]):
        path = WORK / f"mixed-{at}.csv"
        mixed(path, at, rows)
        files.append((f"mixed-{at}", {}, path))
    every, failed, compared = types(), False, set()
    for name, csv, path in files:
        frame = read(csv, path)
        for seed in range(SEEDS):
            writer = Writer(frame, f"{name} {seed}")
            suite = [writer.one(kind) for kind in every for _ in range(4)]
            suite = once(suite)
            suite = [given | ({"severity": "Warning"} if writer.random.random() < 0.2 else {}) for given in suite]
            differs, kinds = compare(f"{name}-{seed}", csv, path, suite)
            failed |= differs
            compared |= kinds
    path = WORK / "dates.csv"
    dates(path, 7, 400)
    suite = [
        {"type": "ExpectColumnValuesToMatchStrftimeFormat", "column": f"f{at}", "strftimeFormat": form, "mostly": "0.5"}
        for at in range(len(FORMATS))
        for form in FORMATS
    ]
    failed |= compare("dates", {}, path, suite)[0]
    if len(every) < 40 or set(every) - compared:
        sys.exit(f"not compared: {set(every) - compared}")
    print(f"{len(compared)} types of expectations compared with Great Expectations {gx.__version__}, pandas {pandas.__version__}")
    sys.exit(failed)


main()
