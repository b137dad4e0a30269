//! The features in a library's file, for a program that has no schema yet.

use serde::Deserialize;
use serde_json::Value as Json;

use super::error::TreeError;
use crate::schema::canonical_category;

/// Maximum number of features.
const MAX_FEATURES: usize = 1 << 16;

/// The line of LightGBM that has the categories of a pandas data frame.
const PANDAS: &str = "pandas_categorical:";

/// A feature in a library's file.
#[derive(Clone, Debug, PartialEq)]
pub struct OutlineFeature {
    /// Its name, or `None` if the library generated one.
    pub name: Option<String>,
    /// Its kind.
    pub kind: OutlineKind,
}

/// The kind of a feature.
#[derive(Clone, Debug, PartialEq)]
pub enum OutlineKind {
    /// Numbers, with the minimum and maximum of the training data if the file has them.
    Numeric(Option<(f64, f64)>),
    /// Categories, with their canonical names by code if the file has them.
    Categorical {
        /// Number of codes in the file.
        codes: usize,
        /// The name of each code.
        words: Option<Vec<String>>,
    },
}

/// The features of a model of LightGBM in its text format, in order. Trees are not read.
pub(super) fn of_lightgbm(bytes: &[u8]) -> Result<Vec<OutlineFeature>, TreeError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| TreeError::file(format!("it is not UTF-8 from byte {}", error.valid_up_to())))?;
    let header = || text.lines().take_while(|line| !line.starts_with("Tree="));
    let field = |name: &'static str| {
        let value = |line: &'_ str| line.strip_prefix(name)?.strip_prefix('=').map(str::to_owned);
        header()
            .find_map(value)
            .ok_or_else(|| TreeError::field(name, "it is absent"))
    };
    let (names, infos) = (field("feature_names")?, field("feature_infos")?);
    let (names, infos): (Vec<&str>, Vec<&str>) = (names.split(' ').collect(), infos.split(' ').collect());
    if names.len() != infos.len() || names.len() > MAX_FEATURES {
        let what = format!(
            "there are {} for {} feature_names, at most {MAX_FEATURES} are read",
            infos.len(),
            names.len()
        );
        return Err(TreeError::field("feature_infos", what));
    }
    let made_up = names
        .iter()
        .enumerate()
        .all(|(at, name)| *name == format!("Column_{at}"));
    let mut features = Vec::with_capacity(names.len());
    for (name, info) in names.iter().zip(infos) {
        features.push(OutlineFeature {
            name: (!made_up).then(|| (*name).to_owned()),
            kind: read_info(info)?,
        });
    }
    // It is after the trees, in the last line of a file that Python wrote.
    let mut tail = text.lines().rev().take(4);
    if let Some(words) = tail.find_map(|line| line.strip_prefix(PANDAS)) {
        add_words(words, &mut features);
    }
    Ok(features)
}

/// `[min:max]`, `none` for a feature with one value, or the codes of categories separated by colons.
fn read_info(info: &str) -> Result<OutlineKind, TreeError> {
    let fail = || TreeError::field("feature_infos", format!("{info:?} is not supported"));
    if info == "none" {
        return Ok(OutlineKind::Numeric(None));
    }
    if let Some(range) = info.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        let (least, greatest) = range.split_once(':').ok_or_else(fail)?;
        let number = |text: &str| text.parse::<f64>().map_err(|_| fail());
        let (least, greatest) = (number(least)?, number(greatest)?);
        let range =
            (least.is_finite() && greatest.is_finite() && least <= greatest).then_some((least, greatest));
        return Ok(OutlineKind::Numeric(range));
    }
    let mut codes = 0;
    for code in info.split(':') {
        // -1 is a missing value.
        let code: i64 = code.parse().map_err(|_| fail())?;
        codes = codes.max(usize::try_from(code + 1).unwrap_or(0));
    }
    Ok(OutlineKind::Categorical { codes, words: None })
}

/// pandas writes a list of categories for each categorical column, in order. If the number of lists differs from the number of
/// categorical features, the lists cannot be matched with features.
fn add_words(text: &str, features: &mut [OutlineFeature]) {
    let Ok(lists) = serde_json::from_str::<Vec<Vec<Json>>>(text) else {
        return;
    };
    let categorical = features.iter_mut().filter_map(|feature| match &mut feature.kind {
        OutlineKind::Categorical { words, .. } => Some(words),
        OutlineKind::Numeric(_) => None,
    });
    let places: Vec<&mut Option<Vec<String>>> = categorical.collect();
    if places.len() != lists.len() {
        return;
    }
    for (place, list) in places.into_iter().zip(lists) {
        let word = |value: Json| match value {
            Json::String(text) => Some(canonical_category(&text).into_owned()),
            Json::Number(number) => Some(canonical_category(&number.to_string()).into_owned()),
            Json::Bool(value) => Some(value.to_string()),
            _ => None,
        };
        *place = list.into_iter().map(word).collect();
    }
}

/// The part of XGBoost's file about features.
#[derive(Deserialize)]
pub(super) struct XgboostFile {
    learner: XgboostLearner,
}

#[derive(Deserialize)]
struct XgboostLearner {
    #[serde(default)]
    feature_names: Vec<String>,
    #[serde(default)]
    feature_types: Vec<String>,
    gradient_booster: XgboostBooster,
    learner_model_param: XgboostParam,
}

#[derive(Deserialize)]
struct XgboostParam {
    num_feature: String,
}

#[derive(Deserialize)]
struct XgboostBooster {
    #[serde(default)]
    model: Option<XgboostModel>,
}

#[derive(Deserialize)]
struct XgboostModel {
    #[serde(default)]
    trees: Vec<XgboostTree>,
}

#[derive(Deserialize)]
struct XgboostTree {
    #[serde(default)]
    split_indices: Vec<i32>,
    #[serde(default)]
    categories: Vec<i32>,
    #[serde(default)]
    categories_nodes: Vec<i32>,
    #[serde(default)]
    categories_segments: Vec<i64>,
    #[serde(default)]
    categories_sizes: Vec<i64>,
}

// === impl XgboostFile ===

impl XgboostFile {
    /// The features in order. The reader of the trees refuses indices that do not exist.
    pub(super) fn outline(self) -> Result<Vec<OutlineFeature>, TreeError> {
        let learner = self.learner;
        let stated = &learner.learner_model_param.num_feature;
        let count = stated.parse().ok().filter(|count| *count <= MAX_FEATURES);
        let count = count.ok_or_else(|| {
            TreeError::field("num_feature", format!("{stated:?} is not a number of features"))
        })?;
        let mut codes = vec![None; count];
        for (feature, kind) in learner.feature_types.iter().enumerate().take(count) {
            if kind == "c" {
                codes[feature] = Some(0);
            }
        }
        for tree in learner
            .gradient_booster
            .model
            .iter()
            .flat_map(|model| &model.trees)
        {
            for (feature, most) in tree.splits_by_category() {
                if let Some(place) = codes.get_mut(feature) {
                    *place = Some(place.unwrap_or(0).max(most));
                }
            }
        }
        let mut names = learner.feature_names.into_iter();
        let feature = |codes: Option<usize>| OutlineFeature {
            name: names.next(),
            kind: codes.map_or(OutlineKind::Numeric(None), |codes| OutlineKind::Categorical {
                codes,
                words: None,
            }),
        };
        Ok(codes.into_iter().map(feature).collect())
    }
}

// === impl XgboostTree ===

impl XgboostTree {
    /// The feature of each node that splits by categories, and the largest code in its set plus one.
    fn splits_by_category(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let place = |number: i64| usize::try_from(number).ok();
        self.categories_nodes
            .iter()
            .enumerate()
            .filter_map(move |(at, node)| {
                let feature = place(i64::from(*self.split_indices.get(place(i64::from(*node))?)?))?;
                let start = place(*self.categories_segments.get(at)?)?;
                let end = start.checked_add(place(*self.categories_sizes.get(at)?)?)?;
                let most = self.categories.get(start..end)?.iter().max()?;
                Some((feature, place(i64::from(*most) + 1)?))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::tree::{TreeModel, fixture};

    fn categorical(codes: usize) -> OutlineKind {
        OutlineKind::Categorical { codes, words: None }
    }

    #[test]
    fn the_features_of_a_text_of_lightgbm_have_its_ranges_and_codes() {
        let (_, bytes) = fixture::read("lightgbm.txt");
        let found = TreeModel::outline_lightgbm(&bytes).unwrap();
        assert!(
            found.iter().all(|feature| feature.name.is_none()),
            "names are made up"
        );
        assert_eq!(found[2].kind, categorical(3));
        assert_eq!(found[4].kind, categorical(30));
        assert_eq!(found[5].kind, OutlineKind::Numeric(Some((1.0, 1.0))));
    }

    #[test]
    fn the_words_of_a_data_frame_are_read_where_it_is_clear_whose_they_are() {
        let (_, bytes) = fixture::read("lightgbm.txt");
        let text = String::from_utf8(bytes).unwrap().replace("Column_3", "old_peak");
        let with = |line: &str| TreeModel::outline_lightgbm(format!("{text}\n{line}\n").as_bytes()).unwrap();
        let found = with(r#"pandas_categorical:[[3.0, "6", true], ["a"]]"#);
        assert_eq!(found[3].name.as_deref(), Some("old_peak"));
        let words = Some(vec!["3".to_owned(), "6".into(), "true".into()]);
        assert_eq!(found[2].kind, OutlineKind::Categorical { codes: 3, words });
        for line in [
            r#"pandas_categorical:[["a"]]"#,
            "pandas_categorical:null",
            "pandas_categorical:[",
        ] {
            assert_eq!(with(line)[2].kind, categorical(3), "{line}");
        }
    }

    #[test]
    fn the_features_of_a_file_of_xgboost_have_its_names_and_the_codes_of_its_trees() {
        let (_, bytes) = fixture::read("xgboost.json");
        let found = TreeModel::outline_xgboost(&bytes).unwrap();
        assert_eq!(found.len(), 6);
        assert_eq!(found[0].kind, OutlineKind::Numeric(None));
        assert!(
            matches!(found[2].kind, OutlineKind::Categorical { codes: 1..=3, .. }),
            "{found:?}"
        );
        assert!(
            matches!(found[4].kind, OutlineKind::Categorical { codes: 20..=30, .. }),
            "{found:?}"
        );
        let text = String::from_utf8(bytes).unwrap();
        let named = text.replace(
            r#""feature_names":[]"#,
            r#""feature_names":["a","b","c","d","e","f"]"#,
        );
        let found = TreeModel::outline_xgboost(named.as_bytes()).unwrap();
        assert_eq!(found[5].name.as_deref(), Some("f"));
        let (_, bytes) = fixture::read("xgboost-ubjson.ubj");
        assert_eq!(TreeModel::outline_xgboost(&bytes).unwrap().len(), 6);
    }

    #[test]
    fn what_is_no_outline_is_refused_with_its_field() {
        let fail = |text: &str| {
            TreeModel::outline_lightgbm(text.as_bytes())
                .unwrap_err()
                .to_string()
        };
        assert_eq!(fail("tree\n"), "feature_names: it is absent");
        assert_eq!(
            fail("tree\nfeature_names=a b\nfeature_infos=none\n"),
            "feature_infos: there are 1 for 2 feature_names, at most 65536 are read"
        );
        assert_eq!(
            fail("tree\nfeature_names=a\nfeature_infos=[1\n"),
            "feature_infos: \"[1\" is not supported"
        );
        let (_, bytes) = fixture::read("xgboost.json");
        let text = String::from_utf8(bytes)
            .unwrap()
            .replace(r#""num_feature":"6""#, r#""num_feature":"99999999""#);
        let error = TreeModel::outline_xgboost(text.as_bytes())
            .unwrap_err()
            .to_string();
        assert_eq!(error, "num_feature: \"99999999\" is not a number of features");
    }
}
