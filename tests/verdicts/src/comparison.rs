//! A challenger against a champion, on rows that neither was trained on.

use modelward_crds::{Champion, MetricName};
use modelward_trainer::{
    family::Parameters,
    fit::{
        candidate::{Candidate, FoldOutcome},
        compare::Opponent,
        metrics::metrics,
    },
};
use modelward_wire::Digest;
use rand::{RngExt as _, SeedableRng, rngs::StdRng};

/// The decision threshold of both models.
const THRESHOLD: f64 = 0.5;

/// How often the two models differ: the share of rows on which only the champion is right, and on which only the challenger is.
#[derive(Clone, Copy)]
pub(crate) struct Pair {
    pub(crate) champion: f64,
    pub(crate) challenger: f64,
}

/// Whether the challenger passes `notWorseThan` by accuracy with the default margin, on this number of rows.
pub(crate) fn passes(pair: Pair, rows: usize, seed: u64) -> bool {
    let mut random = StdRng::seed_from_u64(seed);
    let mut labels = Vec::with_capacity(rows);
    let (mut of_champion, mut of_challenger) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
    for _ in 0..rows {
        let label = random.random_bool(0.5);
        let at: f64 = random.random();
        let (one, other) = if at < pair.champion {
            (true, false)
        } else if at < pair.champion + pair.challenger {
            (false, true)
        } else {
            (true, true)
        };
        let score = |is_right: bool| if is_right == label { 0.9 } else { 0.1 };
        labels.push(label);
        of_champion.push(score(one));
        of_challenger.push(score(other));
    }
    let champion = Champion {
        version: "champion".to_owned(),
        bundle: Digest::from_bytes([0; 32]),
        margin: "0.03".parse().expect("a decimal number"),
    };
    let challenger = Candidate {
        family: "LogisticRegression",
        parameters: Parameters::new(Vec::new()),
        folds: vec![FoldOutcome {
            repeat: 0,
            fold: 0,
            rows: (0..rows).collect(),
            metrics: metrics(&labels, &of_challenger, THRESHOLD),
            scores: of_challenger,
            served: None,
            threshold: THRESHOLD,
        }],
        estimates: Vec::new(),
        reported: Vec::new(),
        before_held_out: None,
        members: Vec::new(),
        calibration: None,
        threshold: "0.5".parse().expect("a decimal number"),
    };
    let compared = Opponent::of_scores(champion, THRESHOLD, of_champion)
        .compare(&labels, None, &challenger, MetricName::Accuracy, seed)
        .expect("two models that can be compared");
    compared.gates().iter().all(|gate| gate.passed)
}
