use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use super::*;

fn without_limit(best: &[f64]) -> Ends<'_> {
    Ends {
        best,
        first: None,
        is_over: None,
    }
}

/// The outcome of one trial of five folds, whose fits end in this order.
fn outcome(order: &[usize], worth: &[f64], best: Option<&[f64]>) -> Outcome<usize> {
    let rules = Rules {
        tasks: worth.len(),
        ends: best.map(without_limit),
        in_turn: false,
        choose_rounds: &|fitted: &[&usize]| (Some(fitted.len() as u32), Vec::new()),
    };
    let board: Board<'_, usize, usize> = Board::new(1, rules);
    let mut begun = Vec::new();
    while let Some(Work::Fit { task, .. }) = {
        let can_begin = begun.len() < worth.len();
        can_begin.then(|| board.take()).flatten()
    } {
        begun.push(task);
    }
    for task in order {
        let fitted = Fitted {
            worth: worth[*task],
            fitted: *task,
        };
        board.fitted(0, *task, Ok(fitted));
    }
    while let Some(Work::Finish {
        trial, task, fitted, ..
    }) = board.take()
    {
        board.finished(trial, task, Ok(fitted));
    }
    board.into_outcomes().next().unwrap().unwrap()
}

#[test]
fn the_order_in_which_folds_end_changes_nothing_that_is_kept() {
    let worth = [0.4, 0.4, 0.6, 0.4, 0.4];
    for order in [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 0, 4, 1, 3]] {
        let found = outcome(&order, &worth, Some(&[0.5; 5]));
        assert_eq!((found.folds, found.rounds), (vec![0, 1], Some(2)), "{order:?}");
        let found = outcome(&order, &worth, Some(&[0.5, 0.3, 0.7, 0.5, 0.5]));
        assert_eq!(found.folds, [0, 1, 2, 3, 4], "better in the second fold");
        assert_eq!(outcome(&order, &worth, None).folds.len(), 5);
    }
}

#[test]
fn a_trial_that_is_worse_in_every_fold_is_not_pruned_at_its_end() {
    let order = [0, 1];
    assert_eq!(outcome(&order, &[0.1, 0.1], Some(&[0.5; 2])).folds.len(), 2);
}

#[test]
fn a_failure_of_a_fold_that_was_not_needed_is_none() {
    let rules = Rules {
        tasks: 4,
        ends: Some(without_limit(&[0.5; 4])),
        in_turn: false,
        choose_rounds: &|_: &[&()]| (None, Vec::new()),
    };
    let board: Board<'_, (), ()> = Board::new(1, rules);
    for _ in 0..4 {
        assert!(matches!(board.take(), Some(Work::Fit { .. })));
    }
    let bad = || {
        Ok(Fitted {
            worth: 0.1,
            fitted: (),
        })
    };
    board.fitted(0, 3, Err(TrainError::Lost));
    board.fitted(0, 0, bad());
    board.fitted(0, 1, bad());
    board.fitted(0, 2, Err(TrainError::Lost));
    while let Some(Work::Finish { trial, task, .. }) = board.take() {
        board.finished(trial, task, Ok(()));
    }
    let found = board.into_outcomes().next().unwrap().unwrap();
    assert_eq!((found.folds.len(), found.fits), (2, 4));
}

#[test]
fn of_several_failures_the_first_fold_is_reported_and_ends_the_trial() {
    let rules = Rules {
        tasks: 3,
        ends: None,
        in_turn: false,
        choose_rounds: &|_: &[&()]| (None, Vec::new()),
    };
    let board: Board<'_, (), ()> = Board::new(1, rules);
    for _ in 0..3 {
        assert!(board.take().is_some());
    }
    let failure = |text: &str| Err(TrainError::Search(text.to_owned()));
    board.fitted(0, 2, failure("third"));
    board.fitted(0, 1, failure("second"));
    board.fitted(
        0,
        0,
        Ok(Fitted {
            worth: 1.0,
            fitted: (),
        }),
    );
    assert!(board.take().is_none());
    let error = board.into_outcomes().next().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the search made no proposal: second");
}

/// Fits and finishes what the board gives, in one thread. `note` gets trial and fold of each fit.
fn fit_in_turn(board: &Board<'_, usize, usize>, mut note: impl FnMut((usize, usize))) {
    while let Some(work) = board.take() {
        match work {
            Work::Fit { trial, task } => {
                note((trial, task));
                let fitted = Fitted {
                    worth: 0.5,
                    fitted: task,
                };
                board.fitted(trial, task, Ok(fitted));
            }
            Work::Finish {
                trial, task, fitted, ..
            } => board.finished(trial, task, Ok(fitted)),
        }
    }
}

/// Trials of three folds whose time is over after so many folds were begun, one fit after the other.
fn outcomes_until(begun: usize, trials: usize) -> Vec<Outcome<usize>> {
    let asked = AtomicUsize::new(0);
    let is_over = || asked.load(Ordering::Relaxed) >= begun;
    let rules = Rules {
        tasks: 3,
        ends: Some(Ends {
            best: &[],
            first: None,
            is_over: Some(&is_over),
        }),
        in_turn: false,
        choose_rounds: &|_: &[&usize]| (None, Vec::new()),
    };
    let board: Board<'_, usize, usize> = Board::new(trials, rules);
    fit_in_turn(&board, |_| {
        asked.fetch_add(1, Ordering::Relaxed);
    });
    board.into_outcomes().map(Result::unwrap).collect()
}

#[test]
fn no_fold_is_begun_after_the_time_and_what_was_begun_is_finished() {
    for begun in 0..=6 {
        let found = outcomes_until(begun, 2);
        let fits: usize = found.iter().map(|of| of.fits).sum();
        assert_eq!(fits, begun);
        let complete = found.iter().filter(|of| of.folds == [0, 1, 2] && !of.cut);
        assert_eq!(complete.count(), begun / 3, "one trial after the other");
        for cut in found.iter().filter(|of| of.cut) {
            assert_eq!((cut.folds.len(), cut.worth.len()), (0, cut.fits));
        }
    }
    assert!(
        outcomes_until(9, 2).iter().all(|of| !of.cut),
        "it was not reached"
    );
}

/// The folds of two trials of three, in the order in which one thread fits them.
fn order_of_fits(in_turn: bool) -> Vec<(usize, usize)> {
    let rules = Rules {
        tasks: 3,
        ends: Some(without_limit(&[])),
        in_turn,
        choose_rounds: &|_: &[&usize]| (None, Vec::new()),
    };
    let board: Board<'_, usize, usize> = Board::new(2, rules);
    let mut order = Vec::new();
    fit_in_turn(&board, |fold| order.push(fold));
    order
}

#[test]
fn trials_share_a_fold_or_are_evaluated_one_after_the_other() {
    let together = [(1, 0), (0, 0), (1, 1), (0, 1), (1, 2), (0, 2)];
    assert_eq!(order_of_fits(false), together);
    let in_turn = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)];
    assert_eq!(order_of_fits(true), in_turn);
}

#[test]
fn a_thread_that_waits_when_the_time_ends_finishes_what_was_begun() {
    let is_over = AtomicBool::new(false);
    let asks = || is_over.load(Ordering::Relaxed);
    let rules = Rules {
        tasks: 3,
        ends: Some(Ends {
            best: &[],
            first: None,
            is_over: Some(&asks),
        }),
        in_turn: false,
        choose_rounds: &|_: &[&usize]| (None, Vec::new()),
    };
    let board: Board<'_, usize, usize> = Board::new(2, rules);
    for _ in 0..4 {
        assert!(matches!(board.take(), Some(Work::Fit { .. })));
    }
    is_over.store(true, Ordering::Relaxed);
    let work = || {
        while let Some(work) = board.take() {
            let Work::Finish {
                trial, task, fitted, ..
            } = work
            else {
                panic!("a fold was begun after the time");
            };
            board.finished(trial, task, Ok(fitted));
        }
    };
    thread::scope(|scope| {
        scope.spawn(work);
        for (trial, task) in [(1, 0), (0, 2), (0, 0), (0, 1)] {
            let fitted = Fitted {
                worth: 0.5,
                fitted: task,
            };
            board.fitted(trial, task, Ok(fitted));
        }
        work();
    });
    let found: Vec<_> = board.into_outcomes().map(Result::unwrap).collect();
    assert_eq!((found[0].folds.as_slice(), found[0].cut), (&[0, 1, 2][..], false));
    assert_eq!(
        (found[1].folds.len(), found[1].cut, found[1].worth.len()),
        (0, true, 1)
    );
}
