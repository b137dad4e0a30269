use super::*;
use crate::schema::{Feature, FeatureSchema, Row, Value};

fn schema() -> FeatureSchema {
    FeatureSchema::new(vec![
        Feature::numeric("x"),
        Feature::numeric("y"),
        Feature::categorical("c", &["a", "b"]),
    ])
    .unwrap()
}

fn transform(name: &str, columns: &[&str], keep: bool, fitted: Fitted) -> FittedTransform {
    FittedTransform {
        name: name.to_owned(),
        columns: columns.iter().map(|column| (*column).to_owned()).collect(),
        keep,
        fitted,
    }
}

fn file(transforms: Vec<FittedTransform>) -> TransformFile {
    TransformFile {
        format: TRANSFORM_FORMAT,
        transforms,
    }
}

fn number(number: f32) -> Value {
    Value::Number(number)
}

/// The names that a family sees, and the values of one transform's columns for these inputs.
fn made(columns: &[&str], fitted: Fitted, rows: &[[Value; 3]]) -> (Vec<String>, Vec<Vec<Value>>) {
    let derivation = Derivation::new(&schema(), &file(vec![transform("t", columns, true, fitted)])).unwrap();
    let names: Vec<String> = derivation.schema().names().skip(3).map(str::to_owned).collect();
    let values = rows.iter().map(|row| {
        let derived = derivation.derive(&Row::new(row.to_vec()));
        derived.values()[3..].to_vec()
    });
    (names, values.collect())
}

fn of_x(fitted: Fitted, values: &[Value]) -> Vec<Value> {
    let rows: Vec<[Value; 3]> = values
        .iter()
        .map(|x| [*x, Value::Missing, Value::Missing])
        .collect();
    made(&["x"], fitted, &rows)
        .1
        .into_iter()
        .map(|values| values[0])
        .collect()
}

fn of_c(fitted: Fitted, values: &[Value]) -> Vec<Vec<Value>> {
    let rows: Vec<[Value; 3]> = values
        .iter()
        .map(|c| [Value::Missing, Value::Missing, *c])
        .collect();
    made(&["c"], fitted, &rows).1
}

const CATEGORIES: [Value; 5] = [
    Value::Category(0),
    Value::Category(1),
    Value::Missing,
    Value::Unknown,
    Value::Category(7),
];

#[test]
fn a_missing_number_is_imputed_and_marked_and_a_present_one_is_not() {
    let impute = Fitted::Impute(Impute {
        value: Filling::Number(2.5),
        indicator: true,
    });
    let rows = [[number(7.0), Value::Missing, Value::Missing], [Value::Missing; 3]];
    let (names, values) = made(&["x"], impute, &rows);
    assert_eq!(names, ["t", "t.missing"]);
    assert_eq!(values, [[number(7.0), number(0.0)], [number(2.5), number(1.0)]]);
}

#[test]
fn a_missing_category_is_imputed_by_one_of_the_column_or_an_added_one_and_an_unknown_stays_unknown() {
    let fill = |name: &str, index| {
        Fitted::Impute(Impute {
            value: Filling::Category {
                name: name.to_owned(),
                index,
            },
            indicator: false,
        })
    };
    let values = of_c(fill("b", 1), &CATEGORIES[..4]);
    assert_eq!(
        values.concat(),
        [
            Value::Category(0),
            Value::Category(1),
            Value::Category(1),
            Value::Unknown
        ]
    );
    assert_eq!(of_c(fill("none", 2), &[Value::Missing]), [[Value::Category(2)]]);
    let misplaced = file(vec![transform("t", &["c"], false, fill("none", 1))]);
    let error = Derivation::new(&schema(), &misplaced).unwrap_err().to_string();
    assert!(error.contains("\"none\"") && error.contains("\"t\""), "{error}");
}

#[test]
fn a_number_is_standardized_by_mean_and_scale() {
    let fitted = Fitted::Standardize(Standardize {
        mean: 3.0,
        scale: 2.0,
    });
    assert_eq!(
        of_x(fitted, &[number(7.0), Value::Missing]),
        [number(2.0), Value::Missing]
    );
}

#[test]
fn a_category_has_1_in_its_own_column_and_missing_and_unknown_ones_have_0_in_all() {
    let fitted = Fitted::OneHot(OneHot {
        categories: vec!["a".into(), "b".into()],
    });
    let (names, _) = made(&["c"], fitted.clone(), &[]);
    assert_eq!(names, ["t=a", "t=b"]);
    let none = [number(0.0), number(0.0)];
    assert_eq!(
        of_c(fitted, &CATEGORIES),
        [
            [number(1.0), number(0.0)],
            [number(0.0), number(1.0)],
            none,
            none,
            none
        ]
    );
}

#[test]
fn a_category_has_its_place_and_missing_and_unknown_ones_have_none() {
    let fitted = Fitted::Ordinal(Ordinal { ranks: vec![1, 0] });
    assert_eq!(
        of_c(fitted, &CATEGORIES).concat(),
        [
            number(1.0),
            number(0.0),
            Value::Missing,
            Value::Missing,
            Value::Missing
        ]
    );
}

#[test]
fn an_encoded_category_has_its_number_and_missing_and_unknown_ones_have_their_own() {
    let encoded = ByCategory {
        values: vec![0.25, 0.75],
        missing: 0.125,
        unknown: 0.5,
    };
    for fitted in [
        Fitted::TargetEncode(encoded.clone()),
        Fitted::FrequencyEncode(encoded),
    ] {
        assert_eq!(
            of_c(fitted, &CATEGORIES).concat(),
            [
                number(0.25),
                number(0.75),
                number(0.125),
                number(0.5),
                number(0.5)
            ]
        );
    }
}

#[test]
fn a_logarithm_of_what_is_not_above_0_is_missing() {
    let log = |offset| Fitted::Log(Log { offset });
    let values = [
        number(1.0),
        number(0.0),
        number(-3.0),
        Value::Missing,
        number(f32::MAX),
    ];
    assert_eq!(
        of_x(log(0.0), &values)[..4],
        [number(0.0), Value::Missing, Value::Missing, Value::Missing]
    );
    assert_eq!(
        of_x(log(1.0), &values)[..2],
        [number(std::f32::consts::LN_2), number(0.0)]
    );
    assert!(matches!(of_x(log(0.0), &values)[4], Value::Number(x) if (x - 88.72).abs() < 0.01));
}

#[test]
fn a_number_beyond_a_bound_becomes_the_bound() {
    let fitted = Fitted::Clip(Clip {
        min: Some(-1.0),
        max: Some(2.0),
    });
    assert_eq!(
        of_x(fitted, &[number(-5.0), number(0.5), number(9.0), Value::Missing]),
        [number(-1.0), number(0.5), number(2.0), Value::Missing]
    );
    let fitted = Fitted::Clip(Clip {
        min: None,
        max: Some(2.0),
    });
    assert_eq!(of_x(fitted, &[number(-5.0)]), [number(-5.0)]);
}

#[test]
fn a_bound_belongs_to_the_bin_above_it_and_bins_are_named_by_their_bounds() {
    let fitted = Fitted::Bins(Bins {
        edges: vec![1.0, 2.5],
    });
    let derivation = Derivation::new(
        &schema(),
        &file(vec![transform("t", &["x"], false, fitted.clone())]),
    )
    .unwrap();
    let made = &derivation.schema().features[2];
    assert_eq!(
        *made,
        Feature::categorical("t", &["below 1", "1 to 2.5", "from 2.5"])
    );
    assert_eq!(
        of_x(
            fitted,
            &[
                number(0.5),
                number(1.0),
                number(2.5),
                number(99.0),
                Value::Missing
            ]
        ),
        [
            Value::Category(0),
            Value::Category(1),
            Value::Category(2),
            Value::Category(2),
            Value::Missing
        ]
    );
    let all = Fitted::Bins(Bins { edges: vec![] });
    assert_eq!(of_x(all, &[number(0.5)]), [Value::Category(0)]);
}

#[test]
fn numbers_of_a_bundle_that_are_not_32_bit_floats_are_applied_as_they_are() {
    let bins = Fitted::Bins(Bins { edges: vec![0.7] });
    assert_eq!(of_x(bins, &[number(0.7)]), [Value::Category(0)]);
    let log = Fitted::Log(Log { offset: 0.7 });
    assert!(matches!(of_x(log, &[number(-0.7)])[0], Value::Number(x) if (x + 18.25).abs() < 0.1));
}

#[test]
fn a_ratio_by_0_and_a_product_that_no_float_holds_are_missing() {
    let rows = |x, y| [[number(x), number(y), Value::Missing]];
    let ratio = |x, y| made(&["x", "y"], Fitted::Ratio(Ratio {}), &rows(x, y)).1.concat()[0];
    let product = |x, y| {
        made(&["x", "y"], Fitted::Product(Product {}), &rows(x, y))
            .1
            .concat()[0]
    };
    assert_eq!(ratio(3.0, 4.0), number(0.75));
    assert_eq!(ratio(3.0, 0.0), Value::Missing);
    assert_eq!(ratio(0.0, 0.0), Value::Missing);
    assert_eq!(product(3.0, 4.0), number(12.0));
    assert_eq!(product(f32::MAX, 4.0), Value::Missing);
    let lacking = [[number(3.0), Value::Missing, Value::Missing]];
    for fitted in [Fitted::Ratio(Ratio {}), Fitted::Product(Product {})] {
        assert_eq!(made(&["x", "y"], fitted, &lacking).1.concat(), [Value::Missing]);
    }
}

#[test]
fn a_column_that_is_read_is_replaced_unless_it_is_kept_and_later_transforms_read_made_ones() {
    let transforms = file(vec![
        transform("log", &["x"], false, Fitted::Log(Log { offset: 0.0 })),
        transform("share", &["log", "y"], true, Fitted::Ratio(Ratio {})),
    ]);
    let derivation = Derivation::new(&schema(), &transforms).unwrap();
    assert_eq!(
        derivation.schema().names().collect::<Vec<_>>(),
        ["y", "c", "log", "share"]
    );
    let row = Row::new(vec![number(1.0), number(2.0), Value::Category(1)]);
    assert_eq!(
        derivation.derive(&row).values(),
        [number(2.0), Value::Category(1), number(0.0), number(0.0)]
    );
    // If a row is too short, the rest is missing.
    assert_eq!(derivation.derive(&Row::new(vec![])).values(), [Value::Missing; 4]);
}

#[test]
fn what_a_file_says_is_read_back_and_unknown_fields_and_kinds_are_refused() {
    let whole = file(vec![
        transform(
            "i",
            &["x"],
            true,
            Fitted::Impute(Impute {
                value: Filling::Number(0.1),
                indicator: false,
            }),
        ),
        transform("r", &["x", "y"], false, Fitted::Ratio(Ratio {})),
        transform(
            "e",
            &["c"],
            false,
            Fitted::TargetEncode(ByCategory {
                values: vec![1.0 / 3.0, 0.5],
                missing: 0.2,
                unknown: 0.4,
            }),
        ),
    ]);
    let text = serde_json::to_string(&whole).unwrap();
    assert_eq!(serde_json::from_str::<TransformFile>(&text).unwrap(), whole);
    for (from, to) in [
        ("\"indicator\":false", "\"indicator\":false,\"more\":1"),
        ("{\"type\":\"Ratio\"}", "{\"type\":\"Ratio\",\"more\":1}"),
        ("\"Ratio\"", "\"Quotient\""),
        ("\"missing\":0.2", "\"missing\":null"),
    ] {
        let changed = text.replace(from, to);
        assert_ne!(changed, text);
        assert!(serde_json::from_str::<TransformFile>(&changed).is_err(), "{to}");
    }
}

#[test]
fn numbers_lengths_and_columns_that_do_not_fit_are_refused_with_the_name_of_the_transform() {
    let one = |columns: &[&str], fitted| file(vec![transform("t", columns, false, fitted)]);
    let encoded = |values: Vec<f64>, unknown| {
        Fitted::TargetEncode(ByCategory {
            values,
            missing: 0.5,
            unknown,
        })
    };
    let scale = |scale| Fitted::Standardize(Standardize { mean: 0.0, scale });
    let cases = [
        (one(&["x"], scale(0.0)), "scale"),
        (one(&["x"], scale(f64::NAN)), "scale"),
        (one(&["c"], scale(1.0)), "takes numbers"),
        (one(&["z"], scale(1.0)), "\"z\""),
        (one(&["x", "y"], scale(1.0)), "names 2 columns, but reads 1"),
        (
            one(&["x"], Fitted::Ratio(Ratio {})),
            "names 1 columns, but reads 2",
        ),
        (one(&["x"], encoded(vec![0.5, 0.5], 0.5)), "takes categories"),
        (one(&["c"], encoded(vec![0.5], 0.5)), "1 entries for 2 categories"),
        (one(&["c"], encoded(vec![0.5, 2.0], 0.5)), "values"),
        (one(&["c"], encoded(vec![0.5, 0.5], f64::INFINITY)), "unknown"),
        (
            one(&["c"], Fitted::Ordinal(Ordinal { ranks: vec![0] })),
            "1 entries for 2 categories",
        ),
        (
            one(
                &["c"],
                Fitted::OneHot(OneHot {
                    categories: vec!["b".into(), "a".into()],
                }),
            ),
            "\"b\"",
        ),
        (
            one(
                &["x"],
                Fitted::Bins(Bins {
                    edges: vec![2.0, 1.0],
                }),
            ),
            "not ascending",
        ),
        (
            one(
                &["x"],
                Fitted::Bins(Bins {
                    edges: vec![f64::NAN],
                }),
            ),
            "edges",
        ),
        (one(&["x"], Fitted::Log(Log { offset: -1.0 })), "offset"),
        (
            one(
                &["x"],
                Fitted::Clip(Clip {
                    min: Some(2.0),
                    max: Some(1.0),
                }),
            ),
            "max",
        ),
    ];
    for (wrong, part) in cases {
        let error = Derivation::new(&schema(), &wrong).unwrap_err().to_string();
        assert!(error.contains("\"t\"") && error.contains(part), "{part}: {error}");
    }
    let again = file(vec![transform("y", &["x"], false, scale(1.0))]);
    assert!(matches!(
        Derivation::new(&schema(), &again),
        Err(DerivationError::Name { .. })
    ));
    let replaced = file(vec![
        transform("a", &["x"], false, scale(1.0)),
        transform("b", &["x"], false, scale(1.0)),
    ]);
    assert!(matches!(
        Derivation::new(&schema(), &replaced),
        Err(DerivationError::Input { .. })
    ));
    let other = TransformFile {
        format: 2,
        transforms: vec![],
    };
    assert_eq!(
        Derivation::new(&schema(), &other),
        Err(DerivationError::Format(2))
    );
}
