//! What the card says about the declared transforms.

use modelward_model::{
    TransformFile,
    transform::{Filling, Fitted, FittedTransform},
};

/// Categories or bounds that are listed, at most.
const LISTED: usize = 12;

/// A declared transform with what it learnt from all rows.
pub(super) struct CardTransform<'a> {
    pub(super) name: &'a str,
    pub(super) kind: &'static str,
    pub(super) columns: String,
    pub(super) learnt: String,
    pub(super) keep: bool,
}

pub(super) fn transforms(file: Option<&TransformFile>) -> Vec<CardTransform<'_>> {
    let all = file.into_iter().flat_map(|file| &file.transforms);
    let of_transform = |transform: &'_ FittedTransform| describe(&transform.fitted);
    all.map(|transform| {
        let (kind, learnt) = of_transform(transform);
        CardTransform {
            name: &transform.name,
            kind,
            columns: transform.columns.join(", "),
            learnt,
            keep: transform.keep,
        }
    })
    .collect()
}

/// The kind of a transform, and what it learnt.
fn describe(fitted: &Fitted) -> (&'static str, String) {
    match fitted {
        Fitted::Impute(impute) => {
            let value = match &impute.value {
                Filling::Number(number) => short(*number),
                Filling::Category { name, .. } => name.clone(),
            };
            let marked = if impute.indicator { ", marked" } else { "" };
            ("Impute", format!("missing as {value}{marked}"))
        }
        Fitted::Standardize(of) => (
            "Standardize",
            format!("mean {}, scale {}", short(of.mean), short(of.scale)),
        ),
        Fitted::OneHot(of) => ("OneHot", format!("{} categories", of.categories.len())),
        Fitted::Ordinal(of) => ("Ordinal", format!("{} categories", of.ranks.len())),
        Fitted::TargetEncode(of) => (
            "TargetEncode",
            format!(
                "{} categories, overall rate {}",
                of.values.len(),
                short(of.unknown)
            ),
        ),
        Fitted::FrequencyEncode(of) => ("FrequencyEncode", format!("{} categories", of.values.len())),
        Fitted::Log(of) => ("Log", format!("offset {}", short(of.offset))),
        Fitted::Clip(of) => {
            let end = |end: Option<f64>| end.map_or("…".to_owned(), short);
            ("Clip", format!("{} to {}", end(of.min), end(of.max)))
        }
        Fitted::Bins(of) => {
            let edges: Vec<String> = of.edges.iter().take(LISTED).map(|edge| short(*edge)).collect();
            let more = of.edges.len().saturating_sub(LISTED);
            let more = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            ("Bins", format!("bounds {}{more}", edges.join(", ")))
        }
        Fitted::Ratio(_) => ("Ratio", String::new()),
        Fitted::Product(_) => ("Product", String::new()),
    }
}

/// A number with the digits of single precision: computations have no more.
fn short(number: f64) -> String {
    (number as f32).to_string()
}
