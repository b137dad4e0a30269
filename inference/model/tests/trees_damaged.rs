//! Damaged files of trees are refused, or the model that is read from them can score.

#![expect(clippy::unwrap_used, reason = "a failed read of a fixture is a failed test")]

use std::{fs, path::Path};

use modelward_model::{Feature, FeatureSchema, Row, Value, family::tree::TreeModel};
use proptest::prelude::*;

/// The models of `tests/trees`, with their readers.
fn read_fixtures() -> Vec<(String, Vec<u8>, FeatureSchema)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/trees");
    let names = [
        "lightgbm-dart.txt",
        "lightgbm-zero-missing.txt",
        "lightgbm-one-leaf.txt",
        "xgboost-deep.json",
        "xgboost-one-tree.json",
        "xgboost-ubjson.ubj",
    ];
    let read = |name: &str| {
        let path = folder.join(name);
        let case = fs::read(path.with_extension("case.json")).unwrap();
        let case: serde_json::Value = serde_json::from_slice(&case).unwrap();
        let schema = serde_json::from_value(case["schema"].clone()).unwrap();
        (name.to_owned(), fs::read(path).unwrap(), schema)
    };
    names.map(read).into()
}

fn make_rows() -> Vec<Row> {
    let values = [
        Value::Missing,
        Value::Unknown,
        Value::Number(55.5),
        Value::Number(f32::MAX),
        Value::Number(-0.0),
        Value::Category(1),
        Value::Category(u32::MAX),
    ];
    let row = |shift: usize| Row::new((0..6).map(|at| values[(at * 5 + shift) % values.len()]).collect());
    (0..values.len()).map(row).chain([Row::new(Vec::new())]).collect()
}

/// If a model can be read from the bytes, it scores every row, alone and with others.
fn check_damaged(name: &str, bytes: &[u8], schema: &FeatureSchema) {
    let text = name.strip_suffix(".txt").is_some();
    let read = if text {
        TreeModel::from_lightgbm
    } else {
        TreeModel::from_xgboost
    };
    let Ok(model) = read(bytes, schema) else { return };
    let rows = make_rows();
    let mut scores = Vec::new();
    model.probabilities(&rows, &mut scores);
    for (row, score) in rows.iter().zip(scores) {
        assert!((0.0..=1.0).contains(&score), "{name}: {score}");
        assert_eq!(model.probability(row).to_bits(), score.to_bits(), "{name}");
    }
}

#[test]
fn a_cut_of_any_length_is_refused() {
    for (name, bytes, schema) in read_fixtures() {
        let end = bytes
            .windows(12)
            .position(|window| window == b"end of trees")
            .map_or(bytes.len(), |at| at + 12);
        for length in (0..end).step_by(end / 500 + 1).chain([end - 1]) {
            let read = if name.strip_suffix(".txt").is_some() {
                TreeModel::from_lightgbm(&bytes[..length], &schema)
            } else {
                TreeModel::from_xgboost(&bytes[..length], &schema)
            };
            assert!(read.is_err(), "{name} cut at {length} is read");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn damage_gives_an_error_or_a_model_that_scores(
        which: prop::sample::Index,
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8_u32), 1..5),
        cut in prop::option::weighted(0.1, any::<prop::sample::Index>()),
        moved in prop::option::weighted(0.3, any::<[prop::sample::Index; 3]>()),
    ) {
        let fixtures = read_fixtures();
        let (name, bytes, schema) = which.get(&fixtures);
        let mut bytes = bytes.clone();
        for (at, bit) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        if let Some([from, to, length]) = moved {
            let (from, length) = (from.index(bytes.len()), length.index(64));
            let piece = bytes[from..bytes.len().min(from + length)].to_vec();
            let to = to.index(bytes.len());
            bytes.splice(to..to, piece);
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        check_damaged(name, &bytes, schema);
    }

    #[test]
    fn a_digit_that_changed_gives_an_error_or_a_model_that_scores(
        which in 0..5_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), b'0'..=b'9'), 1..4),
    ) {
        let fixtures = read_fixtures();
        let (name, bytes, schema) = &fixtures[which];
        let mut bytes = bytes.clone();
        let digits: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at].is_ascii_digit()).collect();
        for (at, digit) in changes {
            bytes[*at.get(&digits)] = digit;
        }
        check_damaged(name, &bytes, schema);
    }

    #[test]
    fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), start in 0..4_usize) {
        let start = [&b""[..], b"tree\nversion=v4\n", b"{L", b"{\"learner\":"][start];
        let bytes = [start, &bytes].concat();
        let schema = FeatureSchema::new(vec![Feature::numeric("age")]).unwrap();
        prop_assert!(TreeModel::from_lightgbm(&bytes, &schema).is_err());
        prop_assert!(TreeModel::from_xgboost(&bytes, &schema).is_err());
    }
}
