use modelward_crds::{CalibrationMethod, EnsembleUse, MetricName, ThresholdMetric};

use super::*;
use crate::{
    family::Parameters,
    fit::{
        folds::SplitMix64,
        metrics::{metrics, position},
        plan::SplitBy,
        threshold::ThresholdRule,
        train::tests::{data, plan, scored_folds},
    },
};

const WANTED: EnsemblePlan = EnsemblePlan {
    max_members: 8,
    use_when: EnsembleUse::IfBetter,
};

const FOLDS: usize = 5;

fn plan_by(by: MetricName) -> Plan {
    Plan {
        folds: FOLDS,
        repeats: 1,
        select_by: by,
        ensemble: Some(WANTED),
        ..plan()
    }
}

fn random_labels(rows: usize, random: &mut SplitMix64) -> Vec<bool> {
    (0..rows).map(|_| random.below(2) == 0).collect()
}

/// A trial with random scores, which are higher by twice the signal in class 1.
fn trial(labels: &[bool], signal: f64, random: &mut SplitMix64) -> ScoredTrial {
    let score = |row: usize| {
        let noise = random.below(1_000_000) as f64 / 1e6;
        let signal = if labels[row] { signal } else { -signal };
        (noise + signal).clamp(0.01, 0.99)
    };
    ScoredTrial {
        scored: scored_folds(labels.len(), FOLDS, score),
        family: Arc::clone(&plan().families[0]),
    }
}

fn ensemble_of(eligible: &[ScoredTrial], labels: &[bool], plan: &Plan) -> Option<Candidate> {
    match make_ensemble(eligible, Labels::at_any_time(labels), plan, WANTED).unwrap() {
        Vote::Ensemble { candidate, .. } => Some(*candidate),
        Vote::One(_) => None,
    }
}

#[test]
fn an_ensemble_of_noise_is_reported_as_noise_though_its_weights_fit_the_rows_that_chose_them() {
    let (mut reported, mut seen, mut count) = (0.0, 0.0, 0);
    for seed in 0..40 {
        let mut random = SplitMix64::new(seed);
        let labels = random_labels(60, &mut random);
        let eligible: Vec<ScoredTrial> = (0..8).map(|_| trial(&labels, 0.0, &mut random)).collect();
        let plan = plan_by(MetricName::RocAuc);
        let Some(candidate) = ensemble_of(&eligible, &labels, &plan) else {
            continue;
        };
        let place = position(MetricName::RocAuc);
        reported += candidate.estimates[place].mean;
        // What the weights that serve score on the rows that chose them.
        let folds = candidate.folds.iter();
        let served = folds.map(|fold| {
            let tested: Vec<bool> = fold.rows.iter().map(|row| labels[*row]).collect();
            metrics(&tested, fold.served.as_ref().unwrap(), 0.5)[place]
        });
        seen += served.sum::<f64>() / FOLDS as f64;
        count += 1;
    }
    assert!(count > 30, "{count}");
    let (reported, seen) = (reported / f64::from(count), seen / f64::from(count));
    assert!(seen > 0.64, "weights find chance: {seen}");
    assert!(
        (reported - 0.5).abs() < 0.03,
        "and it is not reported: {reported}"
    );
}

#[test]
fn what_a_fold_is_judged_by_does_not_depend_on_its_classes() {
    let mut random = SplitMix64::new(9);
    let labels = random_labels(200, &mut random);
    let eligible: Vec<ScoredTrial> = (0..4).map(|_| trial(&labels, 0.1, &mut random)).collect();
    let plan = Plan {
        calibration: CalibrationMethod::Platt,
        threshold: ThresholdRule::Maximise(ThresholdMetric::F1),
        ..plan_by(MetricName::LogLoss)
    };
    let before = ensemble_of(&eligible, &labels, &plan).unwrap();
    let mut changed = labels.clone();
    for row in &before.folds[2].rows {
        changed[*row] = !changed[*row];
    }
    let after = ensemble_of(&eligible, &changed, &plan).unwrap();
    assert_eq!(before.folds[2].scores, after.folds[2].scores);
    assert_eq!(before.folds[2].threshold, after.folds[2].threshold);
    assert_ne!(
        before.folds[1].scores, after.folds[1].scores,
        "another fold learns from it"
    );
    assert_ne!(
        before.folds[2].served, after.folds[2].served,
        "what serves learns from all"
    );
}

#[test]
fn trials_that_err_independently_are_better_together() {
    let mut random = SplitMix64::new(21);
    let labels = random_labels(1000, &mut random);
    let eligible: Vec<ScoredTrial> = (0..4).map(|_| trial(&labels, 0.1, &mut random)).collect();
    let plan = plan_by(MetricName::RocAuc);
    let candidate = ensemble_of(&eligible, &labels, &plan).unwrap();
    assert_eq!(candidate.family, "Ensemble");
    assert_eq!(candidate.members.len(), 4);
    assert_eq!(
        candidate.members.iter().map(|member| member.weight).sum::<u32>(),
        20
    );
    let place = position(MetricName::RocAuc);
    for trial in &eligible {
        let alone = Candidate::new(
            "Any",
            Parameters::new([]),
            Labels::at_any_time(&labels),
            &trial.scored,
            &plan,
        )
        .unwrap();
        assert!(candidate.estimates[place].mean > alone.estimates[place].mean + 0.05);
    }
}

#[test]
fn all_weight_on_one_trial_is_no_ensemble() {
    let mut random = SplitMix64::new(2);
    let labels = random_labels(300, &mut random);
    let good = trial(&labels, 0.45, &mut random);
    let same = good.clone();
    let one = make_ensemble(
        &[good, same],
        Labels::at_any_time(&labels),
        &plan_by(MetricName::LogLoss),
        WANTED,
    )
    .unwrap();
    assert!(matches!(one, Vote::One("LogisticRegression")));
    assert!(make_ensemble(&[], Labels::at_any_time(&labels), &plan(), WANTED).is_err());
}

#[test]
fn in_the_order_of_time_weights_come_from_earlier_folds() {
    let mut random = SplitMix64::new(13);
    let labels = random_labels(400, &mut random);
    let eligible: Vec<ScoredTrial> = (0..3).map(|_| trial(&labels, 0.1, &mut random)).collect();
    let plan = Plan {
        split_by: SplitBy::Time { gap: 0 },
        ..plan_by(MetricName::LogLoss)
    };
    let before = ensemble_of(&eligible, &labels, &plan).unwrap();
    let folds: Vec<usize> = before.folds.iter().map(|fold| fold.fold).collect();
    assert_eq!(folds, [1, 2, 3, 4], "the first has no earlier one");
    let mut changed = labels.clone();
    for row in (0..labels.len()).filter(|row| row % FOLDS == 3) {
        changed[row] = !changed[row];
    }
    let after = ensemble_of(&eligible, &changed, &plan).unwrap();
    for (fold, is_earlier) in [(0, true), (1, true), (2, true), (3, false)] {
        assert_eq!(
            before.folds[fold].scores == after.folds[fold].scores,
            is_earlier,
            "{fold}"
        );
    }
}

#[test]
fn an_ensemble_of_a_real_training_is_served_as_it_was_fitted() {
    use crate::{
        family::{self, Settings},
        fit::train::train,
    };
    use modelward_crds::Family;
    let plan = Plan {
        families: Family::ALL.map(|of| family::of(of, &Settings::default())).into(),
        calibration: CalibrationMethod::Platt,
        ensemble: Some(EnsemblePlan {
            max_members: 3,
            use_when: EnsembleUse::Always,
        }),
        ..plan_by(MetricName::LogLoss)
    };
    let data = data();
    let trained = train(&data, &plan, 2, &|_| ()).unwrap();
    assert_eq!(trained.selected, 4, "{}", trained.reason);
    assert!(
        trained
            .reason
            .starts_with("Ensemble is always used, as the spec asks: LogLoss 0."),
        "{}",
        trained.reason
    );
    assert_eq!(trained.corrected, None, "no metric selected it");
    let candidate = trained.candidate();
    assert!((2..=3).contains(&candidate.members.len()));
    assert_eq!(
        (candidate.calibration.clone(), trained.importance.is_some()),
        (None, true)
    );
    let better = train(
        &data,
        &Plan {
            ensemble: Some(WANTED),
            ..plan
        },
        1,
        &|_| (),
    )
    .unwrap();
    assert!(better.corrected.is_some(), "candidates are compared");
}
