//! The files of an ensemble: the first byte chooses which one is replaced by the others.

use std::sync::LazyLock;

use modelward_model::{
    Calibration, Family, FamilyFiles, FeatureSchema,
    family::{
        columns::MODEL_FILE,
        ensemble::{ENSEMBLE_FILE, Ensemble, EnsembleFile, EnsembleMember, member_file},
        lightgbm::{LIGHTGBM, TEXT_FILE},
        tree::{TreeFile, TreeModel},
        xgboost::{BOOSTER_FILE, XGBOOST},
    },
    files::json,
};
use modelward_service::chain;

use super::{
    Target,
    trees::{check_scorer, read_schema},
};

static SCHEMA: LazyLock<FeatureSchema> = LazyLock::new(|| {
    read_schema(include_str!(
        "../../../../inference/model/tests/trees/lightgbm-one-tree.case.json"
    ))
});

const XGBOOST_JSON: &[u8] = include_bytes!("../../../../inference/model/tests/trees/xgboost-one-tree.json");
const LIGHTGBM_TEXT: &[u8] = include_bytes!("../../../../inference/model/tests/trees/lightgbm-one-tree.txt");

/// Files of a family, by name.
type Files = Vec<(&'static str, Vec<u8>)>;

/// Those of a good ensemble. One that cannot be made is a panic: without its files the target would check nothing.
static FILES: LazyLock<Files> = LazyLock::new(|| make_files().unwrap_or_else(|error| panic_for(&error)));

#[expect(clippy::panic, reason = "without its samples a target tests nothing")]
fn panic_for(error: &anyhow::Error) -> ! {
    panic!("the samples cannot be made: {error:#}")
}

fn make_files() -> anyhow::Result<Files> {
    let member = |family: &str, weight, calibration| EnsembleMember {
        family: family.to_owned(),
        weight,
        calibration,
    };
    let isotonic = Calibration::Isotonic {
        scores: vec![0.2, 0.7],
        probabilities: vec![0.1, 0.9],
    };
    let ensemble = EnsembleFile::new(vec![
        member(XGBOOST, 7, Some(isotonic)),
        member(LIGHTGBM, 13, None),
    ]);
    let mut files = vec![(ENSEMBLE_FILE, json(&ensemble)?)];
    let xgboost = TreeModel::from_xgboost(XGBOOST_JSON, &SCHEMA)?;
    let lightgbm = TreeModel::from_lightgbm(LIGHTGBM_TEXT, &SCHEMA)?;
    let members = [
        (XGBOOST, xgboost, BOOSTER_FILE, XGBOOST_JSON),
        (LIGHTGBM, lightgbm, TEXT_FILE, LIGHTGBM_TEXT),
    ];
    for (at, (family, model, name, bytes)) in members.into_iter().enumerate() {
        let head = json(&TreeFile::new(family, &SCHEMA, &model))?;
        for (name, bytes) in [(MODEL_FILE, head), (name, bytes.to_vec())] {
            files.extend(member_file(at, name).map(|name| (name, bytes)));
        }
    }
    Ok(files)
}

#[derive(Debug)]
pub(super) struct EnsembleFiles;

impl Target for EnsembleFiles {
    fn name(&self) -> &'static str {
        "ensemble"
    }

    fn run(&self, bytes: &[u8]) {
        let mut files = FILES.clone();
        if let [first, content @ ..] = bytes {
            let place = usize::from(*first) % files.len();
            files[place].1 = content.to_vec();
        }
        match Ensemble.load(&FamilyFiles::of_bytes(&Ensemble, &files), &SCHEMA) {
            Ok(scorer) => check_scorer(&*scorer),
            Err(error) => assert!(
                error.file().is_some_and(|file| Ensemble.files().contains(&file)),
                "no file: {}",
                chain(&error)
            ),
        }
    }

    fn samples(&self) -> Vec<Vec<u8>> {
        let files = FILES.iter().zip(0_u8..);
        files
            .map(|((_, bytes), place)| [&[place][..], bytes].concat())
            .collect()
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            "\"format\":1",
            "\"family\":\"Ensemble\"",
            "\"family\":\"LogisticRegression\"",
            "\"totalWeight\":",
            "\"members\":[",
            "\"weight\":0",
            "\"weight\":4294967295",
            "\"calibration\":null",
            "\"kind\":\"Platt\"",
            "\"slope\":",
            "\"intercept\":",
            "1e308",
            "-1",
            "}",
            "]",
        ]
    }

    fn memory(&self, input: usize) -> usize {
        (2 << 20) + 400 * input
    }
}
