#!/usr/bin/env python3
"""Writes the ONNX models that inference/model/tests/onnx.rs reads, with the probabilities and classes of scikit-learn.

    pip install -r tests/differential/requirements-onnx.txt
    tests/differential/make_onnx_models.py inference/model/tests/onnx

Everything is seeded. Numbers of rows are written as their bits in single precision, null is a missing value; probabilities are those of
class 1 in double precision.
"""

import json
import pathlib
import sys
import warnings

import numpy
import onnx
import pandas
from skl2onnx import to_onnx
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    AdaBoostClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, RobustScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier

NAMES = ["age", "chol", "old peak", "marker"]


def make_rows(generator, count):
    rows = numpy.empty((count, 4), dtype=numpy.float32)
    rows[:, 0] = generator.normal(54, 9, count).round(1)
    rows[:, 1] = generator.lognormal(5.5, 0.2, count)
    rows[:, 2] = numpy.maximum(0, generator.normal(0.5, 1, count)).round(1)
    rows[:, 3] = generator.normal(0, 1, count)
    return rows


def make_labels(generator, rows):
    score = (rows[:, 0] - 54) / 9 + rows[:, 2] - (rows[:, 1] - 250) / 100 + rows[:, 3] ** 2
    return (score + generator.normal(0, 1, len(rows)) > 1.0).astype(int)


def without_some(generator, rows):
    rows = rows.copy()
    rows[generator.random(rows.shape) < 0.15] = numpy.nan
    return rows


def write_case(folder, name, model, sample, tests, **options):
    exported = to_onnx(model, sample, **options)
    (folder / f"{name}.onnx").write_bytes(exported.SerializeToString())
    probability = model.predict_proba(tests)[:, 1]
    classes = numpy.asarray(model.predict(tests))
    numbers = numpy.asarray(tests, dtype=numpy.float32)
    bits = lambda value: None if numpy.isnan(value) else f"{value.view(numpy.uint32):08x}"
    case = {
        "operators": sorted({node.op_type for node in exported.graph.node}),
        "labels": [str(label.item() if hasattr(label, "item") else label) for label in model.classes_],
        "rows": [[bits(value) for value in row] for row in numbers],
        "probability": [float(value) for value in probability],
        "class": [int(value == model.classes_[1]) for value in classes],
    }
    text = json.dumps(case, separators=(",", ":")).replace('],"', '],\n"') + "\n"
    (folder / f"{name}.case.json").write_text(text)


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    generator = numpy.random.default_rng(22)
    rows = make_rows(generator, 400)
    labels = make_labels(generator, rows)
    tests = make_rows(generator, 40)
    holes, holed_tests = without_some(generator, rows), without_some(generator, tests)
    holed_tests[0] = numpy.nan

    def write(name, model, x=rows, y=labels, on=tests, **options):
        write_case(folder, name, model.fit(x, y), x[:1], on, **options)

    seed = {"random_state": 5}
    write("random-forest", RandomForestClassifier(12, max_depth=5, **seed))
    write("extra-trees", ExtraTreesClassifier(12, max_depth=5, **seed), options={"zipmap": False})
    write("decision-tree", DecisionTreeClassifier(max_depth=4, **seed))
    write("gradient-boosting", GradientBoostingClassifier(n_estimators=15, **seed))
    write("hist-gradient-boosting", HistGradientBoostingClassifier(max_iter=12, **seed), holes, on=holed_tests)
    write("logistic", LogisticRegression(max_iter=5000))
    write("scaled-logistic", make_pipeline(StandardScaler(), LogisticRegression()))
    imputed = make_pipeline(SimpleImputer(strategy="median"), RobustScaler(), LogisticRegression())
    write("imputed-logistic", imputed, holes, on=holed_tests)
    write("min-max-logistic", make_pipeline(MinMaxScaler(), LogisticRegression()))
    chosen = ColumnTransformer([("scaled", StandardScaler(), [2, 0]), ("as it is", "passthrough", [3])])
    write("chosen-columns", make_pipeline(chosen, LogisticRegression()))
    write("words", make_pipeline(StandardScaler(), LogisticRegression()), y=numpy.array(["no", "yes"])[labels])
    doubles = {"target_opset": {"": 18, "ai.onnx.ml": 3}}
    write("double-trees", GradientBoostingClassifier(n_estimators=5, **seed), rows.astype(float), **doubles)
    frame, framed_tests = pandas.DataFrame(rows, columns=NAMES), pandas.DataFrame(tests, columns=NAMES)
    write("named", make_pipeline(StandardScaler(), LogisticRegression()), frame, on=framed_tests)
    # Refused: what is not read, each by its name.
    refused = folder / "refused"
    refused.mkdir(exist_ok=True)
    keep = lambda name, model, x=rows, y=labels, **options: (refused / f"{name}.onnx").write_bytes(
        to_onnx(model.fit(x, y), x[:1], **options).SerializeToString()
    )
    keep("ada-boost", AdaBoostClassifier(n_estimators=2, **seed))
    keep("normalised-rows", make_pipeline(Normalizer(), LogisticRegression()))
    keep("three-classes", DecisionTreeClassifier(max_depth=2, **seed), y=labels + (rows[:, 3] > 1))
    keep("raw-scores", LogisticRegression(max_iter=5000), options={"zipmap": False, "raw_scores": True})
    keep("double-logistic", LogisticRegression(max_iter=5000), rows.astype(float))
    external = to_onnx(make_pipeline(MinMaxScaler(), LogisticRegression()).fit(rows, labels), rows[:1])
    for tensor in external.graph.initializer:
        tensor.raw_data = numpy.asarray(onnx.numpy_helper.to_array(tensor)).tobytes()
        tensor.ClearField("float_data")
        onnx.external_data_helper.set_external_data(tensor, "elsewhere.bin")
        tensor.ClearField("raw_data")
    (refused / "external-data.onnx").write_bytes(external.SerializeToString())
    custom = to_onnx(LogisticRegression(max_iter=5000).fit(rows, labels), rows[:1])
    custom.graph.node[0].domain = "com.example"
    (refused / "custom-domain.onnx").write_bytes(custom.SerializeToString())


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(pathlib.Path(sys.argv[1]))
