//! Whether a new model is not worse than the one that serves, on the same rows.
//!
//! The challenger is judged by its out-of-fold scores. The champion is judged by its own out-of-fold scores on rows that it
//! was trained on, which its bundle keeps by the rows' hashes, and by the score that it serves on every other row. (Judged by
//! its serving scores on rows that it has seen, a champion that memorized them would beat every challenger.) Each out-of-fold
//! score is classified by the threshold that was learned from the other folds of its repeat, of both models.
//!
//! ```text
//!  d  = m(challenger) − m(champion)     on the rows; negated for LogLoss and Brier, so that higher is better
//!  d* = the same on as many rows, drawn with replacement; both models on the same draw; 2,000 draws
//!  lower bound = the 100th smallest d*  the 5th percentile (Efron and Tibshirani 1993, chapter 13)
//!  passed if the lower bound is at or above −margin
//! ```
//!
//! A row has a score for each repeat of the folds, of one model each. Classes are counted, losses averaged and areas under
//! the curve averaged over the repeats: the mean of the scores would be an ensemble, which neither of the two is.
//!
//! This is done once over all rows and once over only those that the champion has not seen: of equal rows, as many as there are more
//! than the champion was trained on, in any file. At least 30 of these are needed, and the two must answer with different
//! classes on 10 of them; otherwise there is not enough evidence, and the comparison fails. Draws are integers of a
//! seeded generator and sums have a fixed order: the same data and spec give the same bound, bit for bit.
//!
//! With `validation.groupBy`, rows of a group are alike, so a draw has whole groups, as many as there are. Evidence is counted in groups
//! as well: new rows of at least 30 groups, in 10 of which the two answer a row with different classes.

mod bootstrap;
mod champion;
mod error;
mod features;
mod new_rows;
mod opponent;
mod outcome;
pub(crate) mod tally;
#[cfg(test)]
mod tests;

pub use bootstrap::RESAMPLES;
pub use error::CompareError;
pub use features::check_features;
pub use new_rows::count_new_rows;
pub use opponent::Opponent;
pub use outcome::{Comparison, Evidence, GroupCounts, LEAST_DIFFERING, LEAST_NEW_ROWS, Outcome};
