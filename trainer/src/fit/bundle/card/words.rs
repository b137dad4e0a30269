//! Sentences of the card that depend on how the model was fitted, measured and selected.

use modelward_crds::MetricName;

use crate::{
    data::row_columns::RowColumns,
    fit::{
        metrics::four_places,
        plan::{Plan, SplitBy},
        threshold::ThresholdRule,
        train::Trained,
    },
};

/// Microseconds of a second.
const MICROSECONDS: i64 = 1_000_000;

/// The sentences, and the words in others.
pub(super) struct Words {
    /// On which rows the metrics are measured, after the name of a metric.
    pub(super) measured: &'static str,
    /// What the rows are cut into to be measured: one, and several.
    pub(super) part: (&'static str, &'static str),
    /// What the values in the table of metrics are.
    pub(super) means: String,
    /// Why the candidate was selected; none if a custom trainer left the only one.
    pub(super) selection: Option<String>,
    /// Which rows the scores in the figures are of.
    pub(super) figures: String,
    /// The threshold, and where it comes from.
    pub(super) threshold: String,
    /// How the threshold weighs what wrong answers cost.
    pub(super) costs: String,
    /// Where features were shuffled, after the number of shuffles.
    pub(super) shuffled_in: String,
    /// What the metrics do not say.
    pub(super) unknown: &'static str,
}

// === impl Words ===

impl Words {
    /// For a model that was measured on this many rows.
    pub(super) fn new(plan: &Plan, columns: &RowColumns, trained: &Trained, rows: usize) -> Self {
        let is_in_time = matches!(plan.split_by, SplitBy::Time { .. });
        let part = match plan.split_by {
            SplitBy::Time { .. } => ("block", "blocks"),
            SplitBy::Rows | SplitBy::Groups if plan.has_one_model() => ("part", "parts"),
            SplitBy::Rows | SplitBy::Groups => ("fold", "folds"),
        };
        let measured = match (plan.has_one_model(), is_in_time) {
            (true, _) => "on held-out rows",
            (false, true) => "on later rows",
            (false, false) => "out of fold",
        };
        Self {
            measured,
            part,
            means: describe_means(plan, columns, trained, rows),
            selection: describe_selection(plan, trained),
            figures: describe_figures(plan, rows),
            threshold: describe_threshold(plan, trained),
            costs: describe_costs(&plan.threshold),
            shuffled_in: describe_shuffled(plan, part, trained),
            unknown: if is_in_time {
                "The rows that were measured are later than those that the scoring model was fitted on. Its performance after the last of them, and in other \
                 populations, is not known."
            } else {
                "They say nothing about other populations or later times."
            },
        }
    }
}

fn describe_means(plan: &Plan, columns: &RowColumns, trained: &Trained, rows: usize) -> String {
    let times = columns.times.as_ref().map_or("", |times| times.column.as_str());
    let groups = columns
        .groups
        .as_ref()
        .map_or("", |groups| groups.column.as_str());
    let (folds, seed, measured) = (plan.folds, plan.seed, trained.candidate().folds.len());
    if plan.has_one_model() {
        let parts = match plan.split_by {
            SplitBy::Rows => {
                format!("{folds} stratified parts (seed {seed}) of {rows} held-out rows")
            }
            SplitBy::Groups => format!(
                "{folds} stratified parts (seed {seed}) of {rows} held-out rows; all rows of a group, by the column {groups:?}, are in one part"
            ),
            SplitBy::Time { .. } if measured < folds => format!(
                "the last {measured} of {folds} blocks of the held-out rows, which are the latest by the column {times:?}"
            ),
            SplitBy::Time { .. } => {
                format!("{folds} blocks of the held-out rows, which are the latest by the column {times:?}")
            }
        };
        return format!(
            "The values are means over {parts}, with their standard errors. The image did not get these rows. All of them were scored by the model that serves."
        );
    }
    let drawn = match plan.repeats {
        1 => folds.to_string(),
        repeats => format!("{repeats} × {folds}"),
    };
    let parts = match plan.split_by {
        SplitBy::Rows => format!(
            "{drawn} stratified folds (seed {seed}), each scored by a model that was not fitted on its rows"
        ),
        SplitBy::Groups => format!(
            "{drawn} stratified folds (seed {seed}), each scored by a model that was not fitted on its rows; all rows of a group, by the column \
             {groups:?}, are in one fold"
        ),
        SplitBy::Time { gap } => {
            let apart = match gap / MICROSECONDS {
                0 => String::new(),
                seconds => format!(", with at least {seconds} seconds between the two"),
            };
            format!(
                "the last {measured} of {} blocks of rows in the order of the column {times:?}, each scored by a model that was fitted on the blocks \
                 before it{apart}",
                folds + 1
            )
        }
    };
    format!(
        "The values are means over {parts}. Their standard errors are corrected for training rows that are shared (Nadeau and Bengio 2003)."
    )
}

fn describe_selection(plan: &Plan, trained: &Trained) -> Option<String> {
    let by_metric = trained.is_by_metric && trained.candidates.len() > 1;
    (!plan.has_one_model()).then(|| {
        if by_metric {
            return format!(
                "The candidate was selected by {}: {}.",
                plan.select_by.as_str(),
                trained.reason
            );
        }
        format!("{}.", trained.reason)
    })
}

fn describe_figures(plan: &Plan, rows: usize) -> String {
    let (shown, parts) = match plan.split_by {
        _ if plan.has_one_model() => (
            format!("{rows} held-out rows, each scored by the model that serves"),
            "parts",
        ),
        SplitBy::Time { .. } => (
            format!("{rows} rows of the measured blocks, each scored by a model of earlier rows"),
            "blocks",
        ),
        SplitBy::Rows | SplitBy::Groups if plan.repeats == 1 => (
            format!(
                "{rows} rows that the folds tested, each scored once by a model that was not fitted on it"
            ),
            "folds",
        ),
        SplitBy::Rows | SplitBy::Groups => (
            format!(
                "{rows} rows that the first repeat tested, each scored once by a model that was not fitted on it"
            ),
            "folds",
        ),
    };
    format!(
        "The figures show the {shown}. They are pooled over the {parts}, so areas differ a little from the means above."
    )
}

fn describe_threshold(plan: &Plan, trained: &Trained) -> String {
    let candidate = trained.candidate();
    let threshold = &candidate.threshold;
    let words = match &plan.threshold {
        ThresholdRule::Default => {
            format!("The threshold is {threshold}, the default: the spec sets none.")
        }
        ThresholdRule::Value(_) => format!("The threshold is {threshold}, as the spec sets it."),
        rule @ (ThresholdRule::Maximise(_) | ThresholdRule::Cost { .. }) => {
            let learnt = match plan.split_by {
                SplitBy::Time { .. } => {
                    "The threshold of each block is learnt from the scores of earlier blocks; the one that serves is learnt from those of all \
                     measured blocks and the one before them."
                }
                SplitBy::Rows | SplitBy::Groups if plan.has_one_model() => {
                    "The threshold of each part is learnt from the scores of the other parts; the one that serves is learnt from those of all parts."
                }
                SplitBy::Rows | SplitBy::Groups if plan.repeats == 1 => {
                    "The threshold of each fold is learnt from the scores of the other folds; the one that serves is learnt from those of all folds."
                }
                SplitBy::Rows | SplitBy::Groups => {
                    "The threshold of each fold is learnt from the scores of the other folds of its repeat; the one that serves is learnt from those \
                     of all folds."
                }
            };
            format!("The threshold is {threshold}, {}. {learnt}", rule.describe())
        }
    };
    let one_class = candidate.only_class().map_or_else(String::new, |class| {
        format!(" At {threshold} every measured row gets class {class}.")
    });
    format!("{words}{one_class}")
}

fn describe_costs(rule: &ThresholdRule) -> String {
    match rule {
        ThresholdRule::Default => "The threshold does not weigh that cost: it is the default.".to_owned(),
        ThresholdRule::Value(_) => "The threshold does not weigh that cost: the spec sets it.".to_owned(),
        ThresholdRule::Maximise(_) => format!(
            "The threshold does not weigh that cost: it is {}.",
            rule.describe()
        ),
        ThresholdRule::Cost { .. } => "The threshold weighs that cost as the spec says.".to_owned(),
    }
}

fn describe_shuffled(plan: &Plan, part: (&str, &str), trained: &Trained) -> String {
    let count = trained
        .importance
        .as_ref()
        .map_or(0, |importance| importance.folds);
    let parts = if count == 1 { part.0 } else { part.1 };
    let of = if plan.repeats > 1 {
        " of the first repeat"
    } else {
        ""
    };
    format!("{count} {parts}{of}")
}

/// The log-odds after Platt's calibration, as a formula in words.
pub(super) fn describe_platt(slope: f64, intercept: f64) -> String {
    let (slope, intercept) = (four_places(slope), four_places(intercept));
    match intercept.strip_prefix('-') {
        Some(amount) => format!("the log-odds times {slope} minus {amount}"),
        None => format!("the log-odds times {slope} plus {intercept}"),
    }
}

/// Whether a metric selected among several candidates or trials, and it is this one.
pub(super) fn selects(metric: MetricName, plan: &Plan, trained: &Trained) -> bool {
    let several = trained.candidates.len() > 1 || trained.trials.len() > 1;
    metric == plan.select_by && trained.is_by_metric && several
}
