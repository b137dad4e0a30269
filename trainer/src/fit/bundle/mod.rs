//! Assembles the files of a bundle.

mod card;
mod error;
mod extras;
mod metrics;
pub(crate) mod mlmodel;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use modelward_crds::Gate;
use modelward_model::{
    BUNDLE_FORMAT, BundleInfo, CalibrationFile, DirBuilder, MemberInfo, Row, Value, WarmUp, bundle::file,
    files::json,
};
use modelward_wire::{GateResult, ManifestKind};

pub use self::{error::AssembleError, extras::Extras};
use crate::{
    data::{dataset::Dataset, snapshot::Snapshot},
    fit::{
        bundle::{card::card, metrics::metrics_file, mlmodel::mlmodel},
        candidate::Candidate,
        compare::Comparison,
        plan::Plan,
        reference,
        train::Trained,
    },
};

/// Rows of the warm-up sample, besides one in which everything that may be missing is missing.
const WARM_UP_ROWS: usize = 32;

/// Every gate with its outcome, and that of the comparison with the champion.
pub fn outcomes(candidate: &Candidate, gates: &[Gate], comparison: Option<&Comparison>) -> Vec<GateResult> {
    let mut outcomes = candidate.gates(gates);
    outcomes.extend(comparison.into_iter().flat_map(Comparison::gates));
    outcomes
}

/// The files of a bundle. The same snapshot, plan, gates and extras give the same bytes.
pub fn build(
    model: &str,
    snapshot: &Snapshot,
    plan: &Plan,
    gates: &[Gate],
    trained: &Trained,
    extras: Extras<'_>,
) -> Result<DirBuilder, AssembleError> {
    let candidate = trained.candidate();
    let info = BundleInfo {
        format: BUNDLE_FORMAT,
        model: model.to_owned(),
        family: candidate.family.to_owned(),
        threshold: candidate.threshold.clone(),
        snapshot: Some(snapshot.digest),
        rows: snapshot.info.rows,
        positive_rows: snapshot.info.positive_rows,
        target: snapshot.info.target.clone(),
        selected_by: plan.select_by.as_str().to_owned(),
        metrics: candidate.reported.clone(),
        gates: outcomes(candidate, gates, extras.comparison),
        training: extras.training,
        reproducible: trained.reproducible,
        imported: None,
        custom_trainer: extras.custom_trainer.cloned(),
        members: members_of(candidate),
    };
    let warm_up = WarmUp::record(
        &snapshot.data.schema,
        &trained.scorer(),
        &warm_up_rows(&snapshot.data),
    )?;
    let reference = match extras.window {
        Some(window) => window.with_scores(snapshot.data.len(), extras.new_rows, candidate)?,
        None => reference::reference(&snapshot.data, candidate, extras.declared)?,
    };
    let of_family = trained.fitted.files()?;
    let transforms = trained.fitted.transforms();
    let described = transforms.map(|_| file::TRANSFORMS).into_iter();
    let described = described.chain(of_family.iter().map(|(name, _)| *name));
    let mlmodel = mlmodel(&snapshot.data.schema, &info, described)?;
    let mut files = DirBuilder::new(ManifestKind::Bundle)
        .with(file::INFO, json(&info)?)
        .with(file::SCHEMA, json(&snapshot.data.schema)?)
        .with(file::WARM_UP, json(&warm_up)?)
        .with(
            file::METRICS,
            json(&metrics_file(
                plan,
                snapshot.info.row_columns.clone(),
                gates,
                trained,
                &snapshot.data.labels,
                extras,
            ))?,
        )
        .with(file::OUT_OF_FOLD, out_of_fold(snapshot, candidate))
        .with(file::REFERENCE, json(&reference)?)
        .with(file::CARD, card(snapshot, plan, gates, trained, &info, extras)?)
        .with(file::MLMODEL, mlmodel);
    for (name, bytes) in of_family {
        files = files.with(name, bytes);
    }
    if let Some(transforms) = transforms {
        files = files.with(file::TRANSFORMS, json(transforms)?);
    }
    if let Some(calibration) = &candidate.calibration {
        let file = CalibrationFile::new(calibration.clone());
        files = files.with(file::CALIBRATION, json(&file)?);
    }
    Ok(match extras.window {
        Some(window) => files.with(file::ACCEPTED_WINDOW, json(&window.accepted)?),
        None => files,
    })
}

/// The members of an ensemble; none for a single model.
fn members_of(candidate: &Candidate) -> Vec<MemberInfo> {
    let members = candidate.members.iter().map(|member| MemberInfo {
        family: member.family.to_owned(),
        weight: member.weight,
    });
    members.collect()
}

/// Evenly spaced rows of the data, and one in which everything that may be missing is missing.
pub(crate) fn warm_up_rows(data: &Dataset) -> Vec<Row> {
    let count = WARM_UP_ROWS.min(data.len());
    let mut sample: Vec<Row> = (0..count).map(|at| data.row(at * data.len() / count)).collect();
    if let Some(first) = sample.first() {
        let features = &data.schema.features;
        let values = features.iter().zip(first.values());
        sample.push(Row::new(
            values
                .map(|(f, v)| if f.required { *v } else { Value::Missing })
                .collect(),
        ));
    }
    sample
}

/// Repeat, row, and the fold with its score if one tested the row.
type Line = (usize, usize, Option<(usize, f64)>);

/// One line per row and repeat, in the order of repeats, then rows. 17 digits name a double exactly. A row that no fold tested has one
/// line, without fold and score: a later comparison needs to know that the model was fitted on it.
fn out_of_fold(snapshot: &Snapshot, candidate: &Candidate) -> String {
    let data = &snapshot.data;
    let mut scores: Vec<Line> = candidate
        .folds
        .iter()
        .flat_map(|fold| {
            let rows = fold.rows.iter().zip(&fold.scores);
            rows.map(|(row, score)| (fold.repeat, *row, Some((fold.fold, *score))))
        })
        .collect();
    let scored = candidate.scored_rows();
    let unscored = (0..data.len()).filter(|row| scored.binary_search(row).is_err());
    scores.extend(unscored.map(|row| (0, row, None)));
    scores.sort_by_key(|(repeat, row, _)| (*repeat, *row));
    let hashes: Vec<String> = (0..data.len()).map(|row| data.row_hash(row)).collect();
    let mut text = "row,row_hash,repeat,fold,label,score\n".to_owned();
    for (repeat, row, scored) in scores {
        let label = u8::from(data.labels[row]);
        let (at, hash) = (row + 1, &hashes[row]);
        let _ = match scored {
            Some((fold, score)) => writeln!(text, "{at},{hash},{repeat},{fold},{label},{score:.16e}"),
            None => writeln!(text, "{at},{hash},{repeat},,{label},"),
        };
    }
    text
}
