//! Families of models, as they are trained. Each is one file here, and one in `modelward-model`.
//!
//! Learning how values are prepared belongs to the family: [`encode`] is there for families that compute with columns.

mod booster;
mod contract;
mod design;
pub mod encode;
pub mod ensemble;
pub mod forest;
pub mod lightgbm;
pub mod logistic;
pub mod newton;
mod parameter;
mod parameters;
mod settings;
mod space;
mod trees;
pub mod xgboost;

use std::sync::Arc;

use modelward_crds::Family;

pub use contract::{
    Complexity, FitError, FittedModel, GrowingModel, ModelReport, PATIENCE, TrainableFamily, Watched, Widths,
};
pub(crate) use design::MAX_HELD;
pub(crate) use newton::START_ROWS;
pub use parameter::Parameter;
pub use parameters::{MAX_ROUNDS, Parameters};
pub use settings::Settings;
pub use space::{Dimension, Values};

/// The family of this name, with the settings of a spec.
pub fn of(family: Family, settings: &Settings) -> Arc<dyn TrainableFamily> {
    match family {
        Family::LogisticRegression => Arc::new(logistic::LogisticRegression::new(settings)),
        Family::RandomForest => Arc::new(forest::RandomForest::new(settings)),
        Family::XGBoost => Arc::new(xgboost::XGBoost::new(settings)),
        Family::LightGBM => Arc::new(lightgbm::LightGbm::new(settings)),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use modelward_model::{Family as _, family::BUILT_IN};

    use super::*;

    #[test]
    fn every_family_of_the_api_is_trained_and_served_under_its_name() {
        for family in Family::ALL {
            assert_eq!(of(family, &Settings::default()).served().name(), family.as_str());
        }
        // Families that are only imported come after them, and the one that is made of several last.
        let others = [
            modelward_model::family::onnx::ONNX,
            modelward_model::family::ensemble::ENSEMBLE,
        ];
        assert_eq!(BUILT_IN.names(), [Family::NAMES.as_slice(), &others].concat());
    }

    /// Rows of the table of a page in docs that begins with these columns, without their spaces.
    fn table(page: &str, columns: [&str; 3]) -> Vec<[String; 3]> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page);
        let text = std::fs::read_to_string(file).unwrap();
        let cells = |line: &str| {
            let cells = line.split('|').skip(1).take(3).map(|cell| cell.trim().to_owned());
            <[String; 3]>::try_from(cells.collect::<Vec<_>>()).ok()
        };
        let rows = text.lines().map(cells);
        let rows = rows.skip_while(|row| row.as_ref().is_none_or(|row| *row != columns));
        rows.skip(2).map_while(|row| row).collect()
    }

    #[test]
    fn the_documentation_has_each_family_with_its_files() {
        let prepared = table("training.md", ["family", "preparation", "parameters"]);
        let prepared: Vec<&str> = prepared.iter().map(|[family, ..]| family.as_str()).collect();
        assert_eq!(prepared, Family::NAMES);

        let (mut documented, mut family) = (Vec::new(), String::new());
        for [name, file, _] in table("bundle.md", ["family", "file", "what"]) {
            // A further file of the same family has no name in its row.
            if !name.is_empty() {
                family = name;
            }
            documented.push((family.clone(), file));
        }
        let files = |family: Family| {
            let files = of(family, &Settings::default()).served().files().iter();
            files.map(move |file| (family.to_string(), (*file).to_owned()))
        };
        let onnx = modelward_model::family::onnx::Onnx;
        let imported = onnx
            .files()
            .iter()
            .map(|file| (onnx.name().to_owned(), (*file).to_owned()));
        let ensemble = modelward_model::family::ensemble::Ensemble;
        let needed = ensemble.needed_files().iter();
        let needed = needed.map(|file| (ensemble.name().to_owned(), (*file).to_owned()));
        let known: Vec<(String, String)> = Family::ALL
            .into_iter()
            .flat_map(files)
            .chain(imported)
            .chain(needed)
            .collect();
        assert_eq!(documented, known);
    }
}
