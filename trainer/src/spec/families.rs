//! Checks of what a training sets for its families: hyper-parameters, constraints and weights.

use modelward_crds::{ClassWeights, Family, FeatureKind, MetricName, TrainingSource};
use modelward_wire::Decimal;
use serde_json::Value as Json;

/// A share above 0.
const SHARE: Bound = Bound {
    above: Some(0.0),
    min: 0.0,
    max: 1.0,
};

/// An amount of at least 0, with 9 digits before the point.
const AMOUNT: Bound = Bound {
    above: None,
    min: 0.0,
    max: 999_999_999.0,
};

/// An amount above 0.
const POSITIVE: Bound = Bound {
    above: Some(0.0),
    ..AMOUNT
};

/// The bounds of the hyper-parameters, as the API server enforces them.
const BOUNDS: [(Family, &str, Bounds); 4] = [
    (
        Family::LogisticRegression,
        "logisticRegression",
        &[("c", POSITIVE)],
    ),
    (
        Family::RandomForest,
        "randomForest",
        &[
            ("nEstimators", Bound::of(1, 10_000)),
            ("maxDepth", Bound::of(1, 24)),
            ("minChildWeight", AMOUNT),
            ("subsample", SHARE),
            ("colsampleBynode", SHARE),
            ("maxBin", Bound::of(2, 1024)),
        ],
    ),
    (
        Family::XGBoost,
        "xgboost",
        &[
            ("nEstimators", Bound::of(1, 10_000)),
            ("learningRate", SHARE),
            ("maxDepth", Bound::of(1, 24)),
            ("minChildWeight", AMOUNT),
            ("gamma", AMOUNT),
            ("subsample", SHARE),
            ("colsampleBytree", SHARE),
            ("regAlpha", AMOUNT),
            ("regLambda", AMOUNT),
            ("maxBin", Bound::of(2, 1024)),
        ],
    ),
    (
        Family::LightGBM,
        "lightgbm",
        &[
            ("nEstimators", Bound::of(1, 10_000)),
            ("learningRate", SHARE),
            ("numLeaves", Bound::of(2, 4096)),
            ("maxDepth", Bound::of(-1, 63)),
            ("minDataInLeaf", Bound::of(0, 1_000_000)),
            ("minSumHessianInLeaf", AMOUNT),
            ("minGainToSplit", AMOUNT),
            ("baggingFraction", SHARE),
            ("featureFraction", SHARE),
            ("lambdaL1", AMOUNT),
            ("lambdaL2", AMOUNT),
            ("maxBin", Bound::of(2, 1024)),
        ],
    ),
];

/// What each hyper-parameter of a family may be.
type Bounds = &'static [(&'static str, Bound)];

/// What a number may be.
#[derive(Clone, Copy)]
struct Bound {
    /// It must be greater than this.
    above: Option<f64>,
    min: f64,
    max: f64,
}

/// Every contradiction between families, hyper-parameters, constraints and weights.
pub(super) fn check(training: &TrainingSource, wrong: &mut Vec<String>) {
    check_hyperparameters(training, wrong);
    check_monotone(training, wrong);
    check_threshold(training, wrong);
    check_search(training, wrong);
    check_ensemble(training, wrong);
    check_gates(training, wrong);
    if let Some(weights) = &training.weights
        && let Some(positive) = &weights.positive
    {
        if weights.classes == ClassWeights::Balanced {
            wrong.push("weights sets positive and classes: Balanced; set one of them".to_owned());
        }
        if positive.to_f64() <= 0.0 {
            wrong.push(format!("weights.positive is {positive}, it must be above 0"));
        }
    }
}

fn check_hyperparameters(training: &TrainingSource, wrong: &mut Vec<String>) {
    let Some(hyperparameters) = &training.hyperparameters else {
        return;
    };
    // It was parsed from JSON, so it can be written as JSON.
    let given = serde_json::to_value(hyperparameters).unwrap_or_default();
    for (family, field, bounds) in BOUNDS {
        let Some(of_family) = given.get(field) else {
            continue;
        };
        if !training.families.contains(&family) {
            wrong.push(format!(
                "hyperparameters.{field} is set, but families does not list {family}; add it, or remove these hyperparameters"
            ));
        }
        for (name, bound) in bounds {
            let value = of_family.get(name).and_then(number_of);
            if let Some(value) = value.filter(|value| !bound.allows(*value)) {
                wrong.push(format!(
                    "hyperparameters.{field}.{name} is {value}, it must be {}",
                    bound.phrase()
                ));
            }
        }
    }
}

fn check_threshold(training: &TrainingSource, wrong: &mut Vec<String>) {
    let Some(threshold) = &training.threshold else {
        return;
    };
    let set = [
        threshold.value.is_some(),
        threshold.maximise.is_some(),
        threshold.cost.is_some(),
    ];
    if set.into_iter().filter(|set| *set).count() != 1 {
        wrong.push("threshold must set exactly one of value, maximise and cost".to_owned());
    }
    if let Some(value) = threshold
        .value
        .as_ref()
        .filter(|value| !(0.0..=1.0).contains(&value.to_f64()))
    {
        wrong.push(format!("threshold.value is {value}, it must be between 0 and 1"));
    }
    if let Some(cost) = &threshold.cost {
        for (name, cost) in [
            ("falsePositive", &cost.false_positive),
            ("falseNegative", &cost.false_negative),
        ] {
            if cost.to_f64() <= 0.0 {
                wrong.push(format!("threshold.cost.{name} is {cost}, it must be above 0"));
            }
        }
    }
}

fn check_search(training: &TrainingSource, wrong: &mut Vec<String>) {
    let Some(search) = &training.search else {
        return;
    };
    if !(1..=1000).contains(&search.trials) {
        wrong.push(format!(
            "search.trials is {}, it must be 1 to 1000",
            search.trials
        ));
    }
    if search.seed < 0 {
        wrong.push(format!("search.seed is {}, it must not be negative", search.seed));
    }
    if let Some(seconds) = search
        .time_limit_seconds
        .filter(|seconds| !(1..=86_400).contains(seconds))
    {
        wrong.push(format!(
            "search.timeLimitSeconds is {seconds}, it must be 1 to 86400"
        ));
    }
}

fn check_ensemble(training: &TrainingSource, wrong: &mut Vec<String>) {
    let Some(ensemble) = &training.ensemble else {
        return;
    };
    if !(2..=8).contains(&ensemble.max_members) {
        wrong.push(format!(
            "ensemble.maxMembers is {}, it must be 2 to 8",
            ensemble.max_members
        ));
    }
    let is_searched = training.search.as_ref().is_some_and(|search| search.trials >= 2);
    // With a custom trainer, another message refuses it.
    if training.families.len() < 2 && !is_searched && training.custom_trainer.is_none() {
        wrong.push(
            "ensemble needs several candidates: list at least two families, or set search with at least 2 trials".to_owned(),
        );
    }
}

fn check_gates(training: &TrainingSource, wrong: &mut Vec<String>) {
    for gate in &training.gates {
        for (field, bound) in [("atLeast", &gate.at_least), ("atMost", &gate.at_most)] {
            wrong.extend(
                bound
                    .as_ref()
                    .and_then(|bound| refuse_bound(gate.metric, field, bound)),
            );
        }
        if let Some(count) = gate
            .standard_errors
            .as_ref()
            .filter(|count| !(0.0..=5.0).contains(&count.to_f64()))
        {
            wrong.push(format!(
                "gate {} has standardErrors {count}, it must be 0 to 5",
                gate.metric.as_str()
            ));
        }
    }
}

/// Why a gate cannot have this bound. Only the log loss may be above 1.
fn refuse_bound(metric: MetricName, field: &str, bound: &Decimal) -> Option<String> {
    let value = bound.to_f64();
    let name = metric.as_str();
    if value < 0.0 {
        return Some(format!("gate {name} has {field} {bound}, it must be at least 0"));
    }
    (metric != MetricName::LogLoss && value > 1.0)
        .then(|| format!("gate {name} has {field} {bound}, it must be 0 to 1: write \"0.75\" for 75%"))
}

fn number_of(value: &Json) -> Option<f64> {
    match value {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn check_monotone(training: &TrainingSource, wrong: &mut Vec<String>) {
    for feature in training
        .features
        .iter()
        .filter(|feature| feature.monotone.is_some())
    {
        let name = &feature.name;
        if feature.kind == FeatureKind::Categorical {
            wrong.push(format!(
                "feature {name:?} is Categorical and cannot be monotone: categories have no order"
            ));
        }
        if training.custom_trainer.is_none() && training.families.contains(&Family::LogisticRegression) {
            wrong.push(format!(
                "feature {name:?} is monotone, which is a constraint on trees, and families names LogisticRegression; remove one of the two"
            ));
        }
    }
}

// === impl Bound ===

impl Bound {
    const fn of(min: i32, max: i32) -> Self {
        Self {
            above: None,
            min: min as f64,
            max: max as f64,
        }
    }

    fn allows(self, value: f64) -> bool {
        self.above.is_none_or(|least| value > least) && (self.min..=self.max).contains(&value)
    }

    fn phrase(self) -> String {
        match self.above {
            Some(least) => format!("above {least} and at most {}", self.max),
            None => format!("{} to {}", self.min, self.max),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::spec::{parse, tests::HEART};

    fn refuse(more: &str) -> String {
        let text = HEART.replace("      families: [LogisticRegression]\n", more);
        assert_ne!(text, HEART, "the sample names its families");
        parse(&text).unwrap_err().to_string()
    }

    #[test]
    fn a_bound_of_a_gate_that_the_api_server_refuses_is_refused() {
        let with = |gate: &str| parse(&HEART.replace(r#"{metric: F1, atLeast: "0.75"}"#, gate));
        for (gate, part) in [
            (
                r#"{metric: F1, atLeast: "1.5"}"#,
                "gate F1 has atLeast 1.5, it must be 0 to 1: write \"0.75\" for 75%",
            ),
            (
                r#"{metric: Brier, atMost: "1.01"}"#,
                "gate Brier has atMost 1.01, it must be 0 to 1",
            ),
            (
                r#"{metric: Mcc, atLeast: "-0.1"}"#,
                "gate Mcc has atLeast -0.1, it must be at least 0",
            ),
            (
                r#"{metric: LogLoss, atMost: "-1"}"#,
                "gate LogLoss has atMost -1, it must be at least 0",
            ),
        ] {
            let error = with(gate).unwrap_err().to_string();
            assert!(error.contains(part), "{part}: {error}");
        }
        for gate in [
            r#"{metric: LogLoss, atMost: "1.5"}"#,
            r#"{metric: F1, atLeast: "1.000"}"#,
        ] {
            with(gate).unwrap();
        }
    }

    #[test]
    fn hyperparameters_of_a_family_that_is_not_tried_are_refused() {
        let error = refuse("      families: [LightGBM]\n      hyperparameters: {xgboost: {maxDepth: 3}}\n");
        assert!(
            error.contains("hyperparameters.xgboost is set, but families does not list XGBoost"),
            "{error}"
        );
    }

    #[test]
    fn a_number_outside_of_its_bounds_is_named_with_them() {
        let error = refuse(
            "      families: [XGBoost]\n      hyperparameters: {xgboost: {maxDepth: 99, learningRate: \"0\", subsample: \"1.5\"}}\n",
        );
        for part in [
            "hyperparameters.xgboost.maxDepth is 99, it must be 1 to 24",
            "hyperparameters.xgboost.learningRate is 0, it must be above 0 and at most 1",
            "hyperparameters.xgboost.subsample is 1.5, it must be above 0 and at most 1",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }

    #[test]
    fn thresholds_and_searches_that_cannot_be_are_named() {
        let error = refuse(
            "      families: [XGBoost]\n      threshold: {value: \"0.3\", maximise: F1}\n      search: {trials: 0, timeLimitSeconds: 0}\n",
        );
        for part in [
            "threshold must set exactly one of value, maximise and cost",
            "search.trials is 0, it must be 1 to 1000",
            "search.timeLimitSeconds is 0, it must be 1 to 86400",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }

    #[test]
    fn an_ensemble_of_one_candidate_or_of_too_many_members_is_refused() {
        let error = refuse("      families: [XGBoost]\n      ensemble: {maxMembers: 9}\n");
        for part in [
            "ensemble.maxMembers is 9, it must be 2 to 8",
            "ensemble needs several candidates: list at least two families, or set search with at least 2 trials",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
        let searched =
            "      families: [XGBoost]\n      search: {trials: 2}\n      ensemble: {use: Always}\n";
        parse(&HEART.replace("      families: [LogisticRegression]\n", searched)).unwrap();
    }

    #[test]
    fn a_misspelt_hyperparameter_is_refused_with_the_known_ones() {
        let error = refuse("      families: [LightGBM]\n      hyperparameters: {lightgbm: {numLeafs: 3}}\n");
        assert!(
            error.contains("numLeafs") && error.contains("numLeaves"),
            "{error}"
        );
    }
}
