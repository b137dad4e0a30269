use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use modelward_crds::{EnsembleUse, Family, MetricName};
use modelward_wire::SearchRound;

use super::*;
use crate::{
    engine::TrainingRows,
    family::{self, Complexity, Dimension, FitError, FittedModel, Settings},
    fit::{
        plan::EnsemblePlan,
        train::{
            tests::{data, plan},
            train_behind,
        },
    },
};

/// Rounds in memory.
#[derive(Default)]
struct Memory {
    rounds: Mutex<Vec<SearchRound>>,
    forgotten: AtomicUsize,
}

impl Memory {
    fn of(rounds: &[SearchRound]) -> Self {
        Self {
            rounds: Mutex::new(rounds.to_vec()),
            ..Self::default()
        }
    }

    fn rounds(&self) -> Vec<SearchRound> {
        self.rounds.lock().unwrap().clone()
    }
}

impl RoundStore for Memory {
    fn load(&self) -> Vec<SearchRound> {
        self.rounds()
    }

    fn keep(&self, number: u32, round: &SearchRound) {
        let mut rounds = self.rounds.lock().unwrap();
        assert_eq!(rounds.len(), number as usize);
        // As the ledger has it, from one Job to the next.
        let text = serde_json::to_string(round).unwrap();
        rounds.push(serde_json::from_str(&text).unwrap());
    }

    fn forget(&self) {
        self.rounds.lock().unwrap().clear();
        self.forgotten.fetch_add(1, Ordering::Relaxed);
    }
}

fn wanted(trials: usize) -> SearchPlan {
    SearchPlan {
        trials,
        seed: 3,
        time_limit: None,
    }
}

fn plan_of_all(trials: usize) -> Plan {
    Plan {
        families: Family::ALL.map(|of| family::of(of, &Settings::default())).into(),
        repeats: 2,
        select_by: MetricName::LogLoss,
        search: Some(wanted(trials)),
        ..plan()
    }
}

/// All that a training made, to the last bit, and the fits of folds that it began.
fn bits(plan: &Plan, threads: usize, store: Option<&dyn RoundStore>) -> (String, usize) {
    let begun = AtomicUsize::new(0);
    let report = |step: crate::fit::progress::Step| {
        let is_fit = step.what.starts_with("cross-validating");
        let rows = data().len();
        assert!(
            !is_fit || step.what.ends_with(&format!(" of {rows} rows")),
            "{}",
            step.what
        );
        begun.fetch_add(usize::from(is_fit), Ordering::Relaxed);
    };
    let trained = train_behind(&data(), plan, threads, &report, store).unwrap();
    let made = format!(
        "{:?} {:?} {:?} {:?} {:?} {} {:?}",
        trained.candidates,
        trained.selected,
        trained.fitted.files().unwrap(),
        trained.corrected,
        trained.trials,
        trained.reproducible,
        trained.reason
    );
    (made, begun.into_inner())
}

#[test]
fn a_search_that_was_interrupted_after_any_round_gives_what_a_whole_one_gives() {
    let plan = plan_of_all(16);
    let store = Memory::default();
    // Fits are counted on one thread: of several, one that would wait begins folds that may be needed, as many as time allows.
    let (expected, all) = bits(&plan, 1, Some(&store));
    assert_eq!(bits(&plan, 2, None).0, expected);
    let rounds = store.rounds();
    assert_eq!(rounds.len(), 3, "4 first trials, then 8 and 4");
    let mut fits = all;
    for kept in 1..=rounds.len() {
        for threads in [2, 1] {
            let store = Memory::of(&rounds[..kept]);
            let (found, begun) = bits(&plan, threads, Some(&store));
            assert_eq!(found, expected, "behind {kept} rounds, with {threads} threads");
            let trials = |rounds: Vec<SearchRound>| rounds.into_iter().flat_map(|round| round.trials);
            assert!(
                trials(store.rounds()).eq(trials(rounds.clone())),
                "it kept the rest"
            );
            assert_eq!(store.forgotten.load(Ordering::Relaxed), 0);
            if threads == 1 {
                assert!(begun < fits, "{begun} fits behind {kept} rounds, {fits} before");
                fits = begun;
            }
        }
    }
    // All of the search was kept: what is fitted is the second repeat of the best of each family.
    assert_eq!(fits, plan.families.len() * plan.folds);
}

/// What a search finds that keeps so many scores, in the store and in memory, behind these rounds; and the fits of
/// folds that it began, on one thread.
fn found(plan: &Plan, in_store: usize, in_memory: usize, store: &Memory) -> (String, usize) {
    let data = data();
    let splits = Splits::new(&data, plan).unwrap();
    let folds = Folds::new(&data, plan, &splits);
    let begun = AtomicUsize::new(0);
    let report = |_| {
        begun.fetch_add(1, Ordering::Relaxed);
    };
    let progress = Progress::new(plan, &report);
    let on = Searched {
        data: &data,
        plan,
        splits: &splits,
        folds: &folds,
        threads: 1,
        progress: &progress,
        kept_scores: in_memory,
        now: &|| Duration::ZERO,
    };
    let mut rounds = Rounds::load(Some(store));
    rounds.kept_scores = in_store;
    let found = search_behind(&on, plan.search.unwrap(), rounds).unwrap();
    let found = format!(
        "{:?} {:?} {:?} {:?}",
        found.trials, found.best, found.second, found.complete
    );
    (found, begun.load(Ordering::Relaxed))
}

type Damage = fn(&mut SearchRound);

/// Logistic regression that cannot be fitted with any proposal but the first.
#[derive(Debug)]
struct FirstAlone {
    family: Arc<dyn TrainableFamily>,
    fails: bool,
}

impl TrainableFamily for FirstAlone {
    fn served(&self) -> &'static dyn modelward_model::Family {
        self.family.served()
    }

    fn complexity(&self) -> Complexity {
        self.family.complexity()
    }

    fn parameters(&self) -> Parameters {
        self.family.parameters()
    }

    fn space(&self) -> Vec<Dimension> {
        self.family.space()
    }

    fn with(&self, values: &[(&'static str, Parameter)]) -> Arc<dyn TrainableFamily> {
        Arc::new(Self {
            family: self.family.with(values),
            fails: true,
        })
    }

    fn fit(&self, rows: TrainingRows<'_>) -> Result<Box<dyn FittedModel>, FitError> {
        if self.fails {
            return Err("the matrix is singular".into());
        }
        self.family.fit(rows)
    }
}

#[test]
fn a_trial_that_fails_says_why_also_behind_kept_rounds_and_another_is_selected() {
    let family = family::of(Family::LogisticRegression, &Settings::default());
    let first: Arc<dyn TrainableFamily> = Arc::new(FirstAlone { family, fails: false });
    let mut plan = plan_of_all(4);
    plan.families = vec![first];
    let store = Memory::default();
    let found = train_behind(&data(), &plan, 2, &|_| (), Some(&store)).unwrap();
    let failures: Vec<Option<&str>> = found
        .trials
        .iter()
        .map(|trial| trial.failure.as_deref())
        .collect();
    let why = Some("LogisticRegression failed in repeat 1, fold 1: the matrix is singular");
    assert_eq!(failures, [None, why, why, why]);
    assert!(
        found.trials[1..]
            .iter()
            .all(|trial| trial.value.is_none() && trial.folds == 0)
    );
    assert_eq!(
        bits(&plan, 1, Some(&Memory::of(&store.rounds()))).0,
        bits(&plan, 1, None).0
    );
}

#[test]
fn a_trial_that_failed_is_worse_than_any_that_was_stopped_early_by_every_metric() {
    for by in [MetricName::LogLoss, MetricName::Brier, MetricName::RocAuc] {
        let sign = if by.higher_is_better() { 1.0 } else { -1.0 };
        let worth = [0.6, 0.8].map(|value| sign * value);
        let (complete, stopped) = (loss_of(Some(0.7), &worth, by), loss_of(None, &worth, by));
        let failed = loss_of(None, &[], by);
        assert!(complete < stopped && stopped < failed, "{by:?}");
    }
}

#[test]
fn what_was_kept_of_another_search_or_is_damaged_is_not_used_and_the_search_starts_over() {
    let plan = plan_of_all(14);
    let store = Memory::default();
    let (expected, all) = found(&plan, usize::MAX, KEPT_SCORES, &store);
    let rounds = store.rounds();
    let damages: [(&str, Damage); 9] = [
        ("format", |round| round.format = 2),
        ("a trial less", |round| round.trials.truncate(3)),
        ("number", |round| round.trials[1].number = 1),
        ("family", |round| round.trials[0].family = "Oracle".into()),
        ("place", |round| round.trials[0].places[0] ^= 1),
        ("parameters", |round| round.trials[0].parameters.clear()),
        ("worth", |round| round.trials[0].worth.truncate(1)),
        ("scores", |round| {
            let scored = round.trials.iter_mut().find(|trial| trial.scores.is_some());
            scored.unwrap().scores.as_mut().unwrap().truncate(64);
        }),
        ("metrics", |round| {
            let scored = round.trials.iter_mut().find(|trial| trial.scores.is_some());
            scored.unwrap().metrics.as_mut().unwrap()[2] ^= 1;
        }),
    ];
    for (what, damage) in damages {
        let mut damaged = rounds.clone();
        damage(&mut damaged[1]);
        let store = Memory::of(&damaged);
        let (found, begun) = found(&plan, usize::MAX, KEPT_SCORES, &store);
        assert_eq!(found, expected, "{what}");
        assert_eq!(store.forgotten.load(Ordering::Relaxed), 1, "{what}");
        assert_eq!(begun, all, "{what}: every fold was fitted again");
        assert_eq!(store.rounds().len(), rounds.len(), "{what}");
    }
    let other = Plan {
        search: Some(SearchPlan {
            seed: 4,
            ..wanted(14)
        }),
        ..plan.clone()
    };
    let store = Memory::of(&rounds);
    let of_other = |store: &Memory| found(&other, usize::MAX, KEPT_SCORES, store).0;
    assert_eq!(of_other(&store), of_other(&Memory::default()));
}

#[test]
fn scores_that_are_too_many_to_be_kept_are_made_again() {
    let plan = plan_of_all(14);
    for in_memory in [KEPT_SCORES, 0] {
        let store = Memory::default();
        let (expected, _) = found(&plan, 0, in_memory, &store);
        let rounds = store.rounds();
        assert!(
            rounds
                .iter()
                .flat_map(|round| &round.trials)
                .all(|trial| trial.scores.is_none())
        );
        for kept in 1..=rounds.len() {
            let store = Memory::of(&rounds[..kept]);
            let (again, _) = found(&plan, 0, in_memory, &store);
            assert_eq!(again, expected, "behind {kept} rounds");
            assert_eq!(store.forgotten.load(Ordering::Relaxed), 0);
        }
    }
}

#[test]
fn an_ensemble_of_a_search_has_second_trials_too_and_is_the_same_behind_kept_rounds() {
    let plan = Plan {
        ensemble: Some(EnsemblePlan {
            max_members: 8,
            use_when: EnsembleUse::Always,
        }),
        ..plan_of_all(20)
    };
    let store = Memory::default();
    let (expected, _) = bits(&plan, 2, Some(&store));
    assert!(expected.contains("Ensemble"), "{expected}");
    let rounds = store.rounds();
    for kept in [1, rounds.len()] {
        let (found, _) = bits(&plan, 1, Some(&Memory::of(&rounds[..kept])));
        assert_eq!(found, expected, "behind {kept} rounds");
    }
    let store = Memory::default();
    let (expected, _) = found(&plan, 0, 0, &store);
    let (again, _) = found(&plan, 0, 0, &store);
    assert_eq!(again, expected, "scores that were not kept are made again");

    let data = data();
    let splits = Splits::new(&data, &plan).unwrap();
    let folds = Folds::new(&data, &plan, &splits);
    let progress = Progress::new(&plan, &|_| ());
    let on = Searched {
        data: &data,
        plan: &plan,
        splits: &splits,
        folds: &folds,
        threads: 2,
        progress: &progress,
        kept_scores: KEPT_SCORES,
        now: &|| Duration::ZERO,
    };
    let found = search_behind(&on, wanted(20), Rounds::load(None)).unwrap();
    for (best, second) in found.best.iter().zip(&found.second) {
        let name = best.family.served().name();
        let values = found.trials.iter().filter(|trial| trial.family == name);
        let mut values: Vec<f64> = values.filter_map(|trial| trial.value).collect();
        values.sort_by(f64::total_cmp);
        let value_of = |family: &dyn TrainableFamily| {
            let parameters = family.parameters();
            let mut trials = found.trials.iter();
            let is_of = |trial: &&Trial| trial.family == name && trial.parameters == parameters;
            trials.find(is_of).and_then(|trial| trial.value)
        };
        assert_eq!(value_of(&*best.family), values.first().copied(), "{name}");
        let of_second = second.as_ref().and_then(|trial| value_of(&*trial.family));
        assert_eq!(of_second, values.get(1).copied(), "{name}");
    }
    assert!(found.second.iter().any(Option::is_some));
}

#[test]
fn the_time_of_earlier_jobs_counts() {
    let mut plan = plan_of_all(14);
    let store = Memory::default();
    bits(&plan, 2, Some(&store));
    let mut rounds = store.rounds();
    rounds.truncate(1);
    rounds[0].seconds = 3600;
    plan.search = plan.search.map(|search| SearchPlan {
        time_limit: Some(std::time::Duration::from_mins(10)),
        ..search
    });
    let trained = train_behind(&data(), &plan, 2, &|_| (), Some(&Memory::of(&rounds))).unwrap();
    assert_eq!(trained.trials.len(), 4);
    assert!(!trained.reproducible);
}

/// What a search finds whose clock counts the folds that it began, with this time limit, behind these rounds; and that count.
fn found_within(limit: Option<u64>, threads: usize, store: &Memory) -> (Found, u64) {
    let mut plan = plan_of_all(16);
    plan.search = plan.search.map(|search| SearchPlan {
        time_limit: limit.map(Duration::from_secs),
        ..search
    });
    let data = data();
    let splits = Splits::new(&data, &plan).unwrap();
    let folds = Folds::new(&data, &plan, &splits);
    let begun = AtomicUsize::new(0);
    let report = |_| {
        begun.fetch_add(1, Ordering::Relaxed);
    };
    let progress = Progress::new(&plan, &report);
    let on = Searched {
        data: &data,
        plan: &plan,
        splits: &splits,
        folds: &folds,
        threads,
        progress: &progress,
        kept_scores: KEPT_SCORES,
        now: &|| Duration::from_secs(begun.load(Ordering::Relaxed) as u64),
    };
    let found = search_behind(&on, plan.search.unwrap(), Rounds::load(Some(store))).unwrap();
    let begun = begun.load(Ordering::Relaxed) as u64;
    (found, begun)
}

#[test]
fn a_time_limit_ends_a_search_within_a_round_and_keeps_what_is_complete() {
    let kept = Memory::default();
    let (whole, all) = found_within(None, 1, &kept);
    // Of each family one, on every fold.
    let first = 16;
    let (mut completed, mut unfinished) = (0, 0);
    for limit in (first - 3..=all + 2).step_by(7) {
        let store = Memory::default();
        let (found, begun) = found_within(Some(limit), 1, &store);
        assert_eq!(begun, limit.clamp(first, all), "no fold is begun after {limit}");
        assert_eq!(found.cut_short, limit < all, "{limit} of {all}");
        let numbers = found.trials.iter().map(|trial| trial.number);
        assert!(numbers.eq(1..=found.trials.len()), "{limit}");
        assert!(found.trials.iter().all(|trial| trial.folds > 0), "{limit}");
        for (trial, of_whole) in found.trials.iter().zip(&whole.trials) {
            if trial != of_whole {
                assert_eq!((trial.value, &trial.metrics), (None, &None), "{limit}");
                assert!(trial.folds < of_whole.folds, "{limit}: {trial:?}");
                unfinished += 1;
            }
        }
        let values = found.trials.iter().filter(|trial| trial.value.is_some());
        assert_eq!(values.clone().count(), found.complete.len());
        assert_eq!(found.best.len(), 4);
        for best in &found.best {
            let name = best.family.served().name();
            let of_family = values.clone().filter(|trial| trial.family == name);
            let value = of_family.min_by(|a, b| a.value.unwrap().total_cmp(&b.value.unwrap()));
            assert_eq!(value.unwrap().parameters, best.family.parameters(), "{limit}");
            assert_eq!(best.scored.len(), 4, "{limit}: it was evaluated on every fold");
        }
        // Whole rounds are kept, and no other: each is one of a search without a limit.
        let rounds = store.rounds();
        completed += found.trials.len() - rounds.iter().map(|round| round.trials.len()).sum::<usize>();
        for (of_cut, of_whole) in rounds.iter().zip(&kept.rounds()) {
            assert_eq!(of_cut.trials, of_whole.trials, "{limit}");
        }
        let (resumed, _) = found_within(None, 1, &store);
        assert_eq!(
            resumed.trials, whole.trials,
            "behind what a limit of {limit} kept"
        );
        assert!(!resumed.cut_short);
        assert_eq!(
            store.forgotten.load(Ordering::Relaxed),
            1,
            "what was kept was used"
        );
    }
    assert!(completed > 0 && unfinished > 0, "{completed} and {unfinished}");
}

#[test]
fn a_time_limit_holds_for_any_number_of_threads_and_changes_nothing_where_it_is_not_reached() {
    let (whole, all) = found_within(None, 1, &Memory::default());
    for threads in [2, 3] {
        for limit in [17, 24, all * 2 / 3] {
            let (found, begun) = found_within(Some(limit), threads, &Memory::default());
            assert!(begun <= limit + threads as u64, "{begun} folds, {limit}");
            assert!(found.cut_short && found.best.len() == 4);
        }
        let (found, _) = found_within(Some(100_000), threads, &Memory::default());
        assert_eq!(found.trials, whole.trials);
        assert_eq!(found.complete, whole.complete);
        assert!(!found.cut_short);
    }
}

#[test]
fn a_retried_job_goes_on_behind_a_cut_search_with_the_time_that_whole_rounds_left() {
    let (_, all) = found_within(None, 1, &Memory::default());
    let limit = all - 4;
    let store = Memory::default();
    let (first, begun) = found_within(Some(limit), 1, &store);
    assert!(first.cut_short);
    let kept = store.rounds();
    let spent = kept.last().unwrap().seconds;
    assert!(spent < limit && begun == limit);
    // The round that was cut is evaluated again, for as long as it had.
    let (second, again) = found_within(Some(limit), 1, &store);
    assert_eq!(again, limit - spent);
    assert_eq!(second.trials, first.trials);
    assert!(second.cut_short);
    assert_eq!(
        store.rounds().len(),
        kept.len(),
        "no round is kept twice or in part"
    );
    assert_eq!(store.forgotten.load(Ordering::Relaxed), 1);
}

#[test]
fn trials_that_are_evaluated_again_for_their_scores_do_not_count_as_time() {
    let store = Memory::default();
    let (whole, all) = found_within(Some(100_000), 1, &store);
    let mut rounds = store.rounds();
    for trial in rounds.iter_mut().flat_map(|round| &mut round.trials) {
        trial.scores = None;
    }
    let last = rounds.pop().unwrap();
    assert!(!last.trials.is_empty());
    // An earlier Job was killed in the last round; all of its scores are missing.
    let (found, begun) = found_within(Some(all), 1, &Memory::of(&rounds));
    assert_eq!(found.trials, whole.trials);
    assert_eq!(found.complete, whole.complete);
    assert!(!found.cut_short, "{begun} folds were fitted, {all} are allowed");
}
