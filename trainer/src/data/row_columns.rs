//! What columns that are neither features nor the target say of each row.

use serde::{Deserialize, Serialize};

/// What such columns say of each row, in the order of the rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowColumns {
    /// Which rows belong together.
    pub groups: Option<Groups>,
    /// How much each row counts.
    pub weights: Option<Weights>,
}

/// Which rows belong together.
#[derive(Clone, Debug, PartialEq)]
pub struct Groups {
    /// The column.
    pub column: String,
    /// Its different values, in canonical spelling, in the order in which rows first have them.
    pub names: Vec<String>,
    /// The index of each row's value.
    pub of_row: Vec<u32>,
}

/// How much each row counts in a fit.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// The column.
    pub column: String,
    /// Finite and not negative, one a row.
    pub of_row: Vec<f32>,
}

/// These columns, as `snapshot.json` names them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RowColumnsInfo {
    /// The column of groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupInfo>,
    /// The column of weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<WeightInfo>,
}

/// The column of groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupInfo {
    /// Its name.
    pub column: String,
    /// How many groups there are.
    pub groups: u64,
}

/// The column of weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WeightInfo {
    /// Its name.
    pub column: String,
    /// Rows that count nothing.
    pub zeros: u64,
}

// === impl RowColumns ===

impl RowColumns {
    /// What `snapshot.json` says of them.
    pub fn info(&self) -> RowColumnsInfo {
        RowColumnsInfo {
            group: self.groups.as_ref().map(|groups| GroupInfo {
                column: groups.column.clone(),
                groups: groups.names.len() as u64,
            }),
            weight: self.weights.as_ref().map(|weights| WeightInfo {
                column: weights.column.clone(),
                zeros: weights.of_row.iter().filter(|weight| **weight == 0.0).count() as u64,
            }),
        }
    }
}

// === impl Groups ===

impl Groups {
    /// The groups of these values, one a row.
    pub fn of_values<'a>(column: &str, values: impl Iterator<Item = std::borrow::Cow<'a, str>>) -> Self {
        let mut places = std::collections::HashMap::new();
        let mut names = Vec::new();
        let mut of_row = Vec::new();
        for value in values {
            let place = *places.entry(value).or_insert_with_key(|value| {
                names.push(value.clone().into_owned());
                names.len() as u32 - 1
            });
            of_row.push(place);
        }
        Self {
            column: column.to_owned(),
            names,
            of_row,
        }
    }
}

// === impl RowColumnsInfo ===

impl RowColumnsInfo {
    /// Each column with the field of the spec that names it, in the order of `TrainingSource::row_columns`.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let columns = [
            (
                "validation.groupBy",
                self.group.as_ref().map(|group| &group.column),
            ),
            (
                "weights.column",
                self.weight.as_ref().map(|weight| &weight.column),
            ),
        ];
        columns
            .into_iter()
            .filter_map(|(field, column)| Some((field, column?)))
    }

    /// Whether there is no such column.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
