use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};

use super::{category::double_category, *};

fn schema() -> FeatureSchema {
    let age = Feature {
        required: true,
        kind: FeatureKind::Numeric {
            min: Some(29.0),
            max: Some(77.0),
        },
        ..Feature::numeric("age")
    };
    FeatureSchema::new(vec![
        age,
        Feature::numeric("chol"),
        Feature::categorical("sex", &["0", "1.0"]),
        Feature::categorical("thal", &["3", "6", "7"]),
    ])
    .unwrap()
}

fn read(value: Json) -> Result<(Row, Vec<Warning>), Vec<RowError>> {
    let Json::Object(object) = value else {
        unreachable!("tests write objects")
    };
    schema().read_json(&object)
}

#[test]
fn a_good_row_is_read_in_the_order_of_the_schema() {
    let (row, warnings) = read(json!({"thal": 7, "sex": 1, "chol": 233, "age": 63})).unwrap();
    let expected = [
        Value::Number(63.0),
        Value::Number(233.0),
        Value::Category(1),
        Value::Category(2),
    ];
    assert_eq!(row.values(), expected);
    assert_eq!(warnings, []);
}

#[test]
fn spellings_of_one_category_are_one() {
    for thal in [json!(3), json!(3.0), json!("3"), json!("3.0"), json!(" 3.00 ")] {
        let (row, warnings) = read(json!({"age": 63, "thal": thal})).unwrap();
        assert_eq!(row.values()[3], Value::Category(0), "{thal}");
        assert_eq!(warnings, []);
    }
    assert_eq!(canonical_category("-0.0"), "0");
    assert_eq!(canonical_category("2.50"), "2.5");
    assert_eq!(canonical_category("100"), "100");
    assert_eq!(canonical_category("007"), "007");
    assert_eq!(canonical_category("1e3"), "1e3");
    assert_eq!(canonical_category("+007"), "+007");
    assert_eq!(canonical_category("2026-01-05"), "2026-01-05");
    assert_eq!(canonical_category("."), ".");
    assert_eq!(canonical_category("v1.0"), "v1.0");
}

#[test]
fn a_number_is_one_category_however_programs_spell_it() {
    for (text, expected) in [
        (".5", "0.5"),
        ("-.50", "-0.5"),
        ("5.", "5"),
        ("+5", "5"),
        ("+.0", "0"),
        ("1e+05", "100000"),
        ("-1.50E-01", "-0.15"),
        ("1e+999", "1e+999"),
        ("+", "+"),
        ("+1 234", "+1 234"),
    ] {
        assert_eq!(canonical_category(text), expected, "{text}");
    }
    let schema = FeatureSchema::new(vec![Feature::categorical("dose", &[".5", "1e+05"])]).unwrap();
    let read = |cell| schema.read_cells(&[cell]).unwrap().0.values()[0];
    for cell in [Cell::Number(0.5), Cell::Text(".5"), Cell::Text("0.50")] {
        assert_eq!(read(cell), Value::Category(0), "{cell:?}");
    }
    assert_eq!(read(Cell::Integer(100_000)), Value::Category(1));
}

#[test]
fn a_schema_with_spellings_of_an_earlier_version_is_read_as_it_was() {
    let kind = FeatureKind::Categorical {
        categories: [".5", "+5", "0.5"].map(str::to_owned).to_vec(),
    };
    let dose = Feature {
        kind,
        ..Feature::numeric("dose")
    };
    let schema = FeatureSchema::new(vec![dose]).unwrap();
    let read = |cell| schema.read_cells(&[cell]).unwrap().0.values()[0];
    for (cell, index) in [
        (Cell::Text(".5"), 0),
        (Cell::Text("+5"), 1),
        (Cell::Integer(5), 1),
        (Cell::Number(0.5), 2),
    ] {
        assert_eq!(read(cell), Value::Category(index), "{cell:?}");
    }
}

#[test]
fn absent_and_null_are_missing_where_that_is_allowed() {
    let (row, warnings) = read(json!({"age": 63, "chol": null})).unwrap();
    assert_eq!(
        row.values()[1..],
        [Value::Missing, Value::Missing, Value::Missing]
    );
    assert_eq!(warnings, []);
    let errors = read(json!({"age": null})).unwrap_err();
    assert_eq!(
        errors,
        [RowError::Required {
            feature: "age".into()
        }]
    );
    assert_eq!(errors[0].to_string(), r#""age" is required and has no value"#);
}

#[test]
fn an_unknown_category_is_scored_with_a_warning_that_names_it() {
    let (row, warnings) = read(json!({"age": 63, "thal": 2})).unwrap();
    assert_eq!(row.values()[3], Value::Unknown);
    assert_eq!(warnings[0].feature(), "thal");
    assert_eq!(
        schema().describe_warning(&warnings[0]),
        r#""thal" is "2", a category unknown from training (known: 3, 6, 7)"#
    );
}

#[test]
fn a_message_is_short_whatever_the_names_and_categories_are() {
    let categories: Vec<String> = (0..256).map(|i| format!("{i}{}", "é".repeat(400))).collect();
    let categories: Vec<&str> = categories.iter().map(String::as_str).collect();
    let schema = FeatureSchema::new(vec![Feature::categorical("comment", &categories)]).unwrap();
    let row = json!({"comment": "n".repeat(5_000)});
    let (_, warnings) = schema.read_json(row.as_object().unwrap()).unwrap();
    let text = schema.describe_warning(&warnings[0]);
    assert!(text.len() < 2_000, "{}", text.len());
    assert!(text.ends_with(" and 236 more)"), "{text}");

    let features: Vec<Feature> = (0..100)
        .map(|i| Feature::numeric(&format!("{i}{}", "q".repeat(300))))
        .collect();
    let schema = FeatureSchema::new(features).unwrap();
    let row = json!({"x".repeat(5_000): 1});
    let errors = schema.read_json(row.as_object().unwrap()).unwrap_err();
    let text = schema.describe_error(&errors[0]);
    assert!(text.len() < 1_200, "{}", text.len());
    assert!(text.ends_with(" and 80 more"), "{text}");
}

#[test]
fn a_number_out_of_range_is_scored_with_a_warning_that_names_it() {
    let (row, warnings) = read(json!({"age": 120.5})).unwrap();
    assert_eq!(row.values()[0], Value::Number(120.5));
    assert_eq!(
        warnings[0].to_string(),
        r#""age" is 120.5, outside the range known from training (29 to 77)"#
    );
}

#[test]
fn every_error_of_a_row_is_reported_at_once() {
    let errors = read(json!({"age": "old", "chol": [1], "sex": {}, "tahl": 3})).unwrap_err();
    let schema = schema();
    let texts: Vec<_> = errors.iter().map(|error| schema.describe_error(error)).collect();
    assert_eq!(
        texts,
        [
            r#""age" must be a number, found the text "old""#,
            r#""chol" must be a number, found an array"#,
            r#""sex" must be a category (text or number), found an object"#,
            r#"unknown feature "tahl"; expected one of age, chol, sex, thal"#,
        ]
    );
    let names: Vec<_> = errors.iter().map(|error| error.feature().unwrap()).collect();
    assert_eq!(names, ["age", "chol", "sex", "tahl"]);
}

#[test]
fn a_number_that_no_float_of_32_bits_holds_is_refused() {
    let errors = read(json!({"age": 1e39})).unwrap_err();
    assert_eq!(
        errors,
        [RowError::TooLarge {
            feature: "age".into(),
            value: 1e39
        }]
    );
    let cells = [
        Cell::Number(f64::INFINITY),
        Cell::Missing,
        Cell::Missing,
        Cell::Number(f64::NEG_INFINITY),
    ];
    assert_eq!(schema().read_cells(&cells).unwrap_err().len(), 2);
}

#[test]
fn booleans_are_read_only_where_the_categories_are_two_valued() {
    let (row, _) = read(json!({"age": 63, "sex": true})).unwrap();
    assert_eq!(row.values()[2], Value::Category(1));
    assert_eq!(read(json!({"age": 63, "thal": true})).unwrap_err().len(), 1);
    assert_eq!(read(json!({"age": true})).unwrap_err().len(), 1);
    let words = FeatureSchema::new(vec![Feature::categorical("smoker", &["False", "True"])]).unwrap();
    assert_eq!(
        words.read_cells(&[Cell::Bool(true)]).unwrap().0.values(),
        [Value::Category(1)]
    );
}

#[test]
fn cells_are_counted_and_nan_is_missing() {
    assert_eq!(
        schema().read_cells(&[Cell::Missing]).unwrap_err(),
        [RowError::Count {
            found: 1,
            expected: 4
        }]
    );
    let cells = [
        Cell::Number(40.0),
        Cell::Number(f64::NAN),
        Cell::Text("1.0"),
        Cell::Missing,
    ];
    let (row, _) = schema().read_cells(&cells).unwrap();
    assert_eq!(
        row.values(),
        [
            Value::Number(40.0),
            Value::Missing,
            Value::Category(1),
            Value::Missing
        ]
    );
}

#[test]
fn bounds_are_compared_as_floats_of_32_bits() {
    let tenth = Feature {
        kind: FeatureKind::Numeric {
            min: Some(0.1),
            max: Some(0.1),
        },
        ..Feature::numeric("x")
    };
    let schema = FeatureSchema::new(vec![tenth]).unwrap();
    assert_eq!(schema.read_cells(&[Cell::Number(0.1)]).unwrap().1, []);
}

#[test]
fn a_schema_survives_its_json_and_a_broken_one_is_refused() {
    let text = serde_json::to_string(&schema()).unwrap();
    assert_eq!(serde_json::from_str::<FeatureSchema>(&text).unwrap(), schema());
    let twice = FeatureSchema::new(vec![Feature::numeric("a"), Feature::numeric("a")]);
    assert_eq!(twice, Err(SchemaError::Name("a".into())));
    let backwards = Feature {
        kind: FeatureKind::Numeric {
            min: Some(2.0),
            max: Some(1.0),
        },
        ..Feature::numeric("a")
    };
    assert_eq!(
        FeatureSchema::new(vec![backwards]),
        Err(SchemaError::Range("a".into()))
    );
    assert_eq!(FeatureSchema::new(vec![]), Err(SchemaError::Empty));
}

#[test]
fn a_long_name_is_quoted_only_in_part() {
    let errors = read(json!({"age": 1, "é".repeat(5000): 1})).unwrap_err();
    assert!(errors[0].to_string().len() < 400);
}

#[test]
fn integers_of_64_bits_reach_their_category_exactly() {
    let codes = [
        "9007199254740993",
        "9007199254740995",
        "18446744073709551615",
        "-9007199254740993",
    ];
    let schema = FeatureSchema::new(vec![Feature::categorical("branch", &codes)]).unwrap();
    let json = [
        json!({"branch": 9_007_199_254_740_993_i64}),
        json!({"branch": "9007199254740995"}),
        json!({"branch": u64::MAX}),
        json!({"branch": -9_007_199_254_740_993_i64}),
    ];
    for (index, row) in json.iter().enumerate() {
        let (row, warnings) = schema.read_json(row.as_object().unwrap()).unwrap();
        assert_eq!(row.values(), [Value::Category(index as u32)]);
        assert_eq!(warnings, []);
    }
    let cells = [Cell::Integer(9_007_199_254_740_995), Cell::Unsigned(u64::MAX)];
    let read = |cell| schema.read_cells(&[cell]).unwrap().0.values()[0];
    assert_eq!(cells.map(read), [Value::Category(1), Value::Category(2)]);
}

#[test]
fn a_float_names_its_category_by_the_shortest_text_of_its_own_width() {
    let schema = FeatureSchema::new(vec![Feature::categorical("dose", &["0.1", "2", "-0.3"])]).unwrap();
    let read = |cell| schema.read_cells(&[cell]).unwrap().0.values()[0];
    for (cell, index) in [
        (Cell::Single(0.1), 0),
        (Cell::Number(0.1), 0),
        (Cell::Single(2.0), 1),
        (Cell::Integer(2), 1),
        (Cell::Single(-0.3), 2),
        (Cell::Text("\u{2212}0.30"), 2),
    ] {
        assert_eq!(read(cell), Value::Category(index), "{cell:?}");
    }
    assert_eq!(read(Cell::Number(f64::from(0.1_f32))), Value::Unknown);
}

#[test]
fn what_meant_missing_in_training_means_missing_in_a_row_too() {
    let mut schema = schema();
    schema.missing = Missing::new(["?", " -999 "]);
    let rows = [
        json!({"age": 63, "chol": "?", "thal": "?"}),
        json!({"age": 63, "chol": "", "thal": " "}),
        json!({"age": 63, "chol": -999, "thal": "-999.0"}),
        json!({"age": 63, "chol": -999.0, "thal": -999}),
        json!({"age": 63, "chol": "-999", "thal": null}),
    ];
    for row in rows {
        let (read, warnings) = schema.read_json(row.as_object().unwrap()).unwrap();
        assert_eq!(
            (read.values()[1], read.values()[3]),
            (Value::Missing, Value::Missing),
            "{row}"
        );
        assert_eq!(warnings, []);
    }
    let errors = schema
        .read_json(json!({"age": "?"}).as_object().unwrap())
        .unwrap_err();
    assert!(matches!(errors[0], RowError::Required { .. }), "{errors:?}");
    // Another string is still not a number, and a JSON string with a number is not accepted.
    for wrong in ["none", "40"] {
        let errors = schema
            .read_json(json!({"age": wrong}).as_object().unwrap())
            .unwrap_err();
        assert!(matches!(errors[0], RowError::WrongType { .. }), "{errors:?}");
    }
}

#[test]
fn a_missing_number_is_recognised_in_single_precision() {
    let missing = Missing::new(["-99.9"]);
    assert!(missing.has_single(-99.9) && missing.has_number(-99.9));
    assert!(!missing.has_number(f64::from(-99.9_f32)));
    assert!(!missing.has_single(-99.8));
}

#[test]
fn a_schema_without_texts_for_missing_is_written_as_it_always_was() {
    let text = serde_json::to_string(&schema()).unwrap();
    assert!(!text.contains("missing"), "{text}");
    let mut declared = schema();
    declared.missing = Missing::new(["?", "-9"]);
    let text = serde_json::to_string(&declared).unwrap();
    assert!(text.ends_with(r#","missing":["?","-9"]}"#), "{text}");
    assert_eq!(serde_json::from_str::<FeatureSchema>(&text).unwrap(), declared);
    // A category with this name stays a category.
    declared.features[3] = Feature::categorical("thal", &["3", "?"]);
    let (row, _) = declared
        .read_json(json!({"age": 63, "thal": "?"}).as_object().unwrap())
        .unwrap();
    assert_eq!(row.values()[3], Value::Category(1));
}

#[test]
fn truth_values_are_read_in_the_spelling_that_the_categories_have() {
    let read = |categories: &[&str], cell| {
        let schema = FeatureSchema::new(vec![Feature::categorical("smoker", categories)]).unwrap();
        schema.read_cells(&[cell]).map(|(row, _)| row.values()[0]).ok()
    };
    for categories in [
        ["false", "true"],
        ["FALSE", "TRUE"],
        ["False", "True"],
        ["f", "t"],
        ["F", "T"],
        ["0", "1"],
    ] {
        assert_eq!(
            read(&categories, Cell::Bool(true)),
            Some(Value::Category(1)),
            "{categories:?}"
        );
        assert_eq!(
            read(&categories, Cell::Bool(false)),
            Some(Value::Category(0)),
            "{categories:?}"
        );
    }
    assert_eq!(
        read(&["False", "True"], Cell::Text("true")),
        Some(Value::Category(1))
    );
    assert_eq!(
        read(&["True", "true"], Cell::Text("true")),
        Some(Value::Category(1))
    );
    assert_eq!(read(&["true"], Cell::Bool(false)), Some(Value::Unknown));
    // F and M are not boolean values, and neither is a single F.
    for categories in [["F", "M"].as_slice(), &["F"], &["no", "yes"]] {
        assert_eq!(read(categories, Cell::Bool(true)), None, "{categories:?}");
    }
}

#[test]
fn a_name_is_the_same_in_each_of_its_unicode_forms() {
    let (composed, apart) = ("\u{e2}ge", "a\u{302}ge");
    let read = |known: &str, sent: &str| {
        let schema = FeatureSchema::new(vec![Feature::numeric(known)]).unwrap();
        let row = json!({sent: 40});
        assert_eq!(schema.position(sent), Some(0));
        schema.read_json(row.as_object().unwrap()).unwrap().0.values()[0]
    };
    for known in [composed, apart] {
        for sent in [composed, apart] {
            assert_eq!(read(known, sent), Value::Number(40.0));
        }
    }
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        ".*".prop_map(Json::from),
    ];
    leaf.prop_recursive(2, 8, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::vec((".*", inner), 0..4)
                .prop_map(|pairs| Json::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_object_makes_the_reader_panic_and_a_good_row_has_a_value_for_each_feature(
        pairs in prop::collection::vec(("age|chol|sex|thal|.*", any_json()), 0..8)
    ) {
        let object: Map<String, Json> = pairs.into_iter().collect();
        match schema().read_json(&object) {
            Ok((row, warnings)) => {
                prop_assert_eq!(row.values().len(), 4);
                for warning in warnings { prop_assert!(!warning.to_string().is_empty()); }
            }
            Err(errors) => {
                prop_assert!(!errors.is_empty());
                for error in errors { prop_assert!(!error.to_string().is_empty()); }
            }
        }
    }

    #[test]
    fn a_row_survives_its_json(age: f32, chol: Option<f32>, thal in 0_u32..3) {
        prop_assume!(age.is_finite() && chol.is_none_or(f32::is_finite));
        let chol = chol.map_or(Value::Missing, Value::Number);
        let row = Row::new(vec![Value::Number(age), chol, Value::Missing, Value::Category(thal)]);
        let (again, _) = schema().read_json(&schema().write_json(&row)).unwrap();
        prop_assert_eq!(again, row);
    }

    #[test]
    fn a_number_is_the_same_category_as_an_integer_and_as_its_text(number: i64) {
        let text = number.to_string();
        let schema = FeatureSchema::new(vec![Feature::categorical("code", &[&text])]).unwrap();
        for cell in [Cell::Integer(number), Cell::Text(&text)] {
            let (row, _) = schema.read_cells(&[cell]).unwrap();
            prop_assert_eq!(row.values(), [Value::Category(0)]);
        }
    }

    #[test]
    fn the_canonical_form_is_its_own_canonical_form(text in ".*|[-+]?[0-9]{0,3}\\.?[0-9]{0,3}(e[-+]?[0-9]{0,3})?") {
        let once = canonical_category(&text).into_owned();
        prop_assert_eq!(canonical_category(&once), once.as_str());
    }

    #[test]
    fn a_number_and_its_text_are_one_category(number in -1_000_000_i64..1_000_000, tenths in 0_u8..10) {
        let text = format!("{number}.{tenths}");
        let parsed: f64 = text.parse().unwrap();
        prop_assert_eq!(double_category(if parsed == 0.0 { 0.0 } else { parsed }), canonical_category(&text));
    }
}
