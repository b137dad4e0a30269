//! From a snapshot to a bundle.
//!
//! ```text
//! Dataset ──folds──► train ──metrics──► Trained ──compare with the champion──► bundle, with the reference of its data
//!                    │ search (kept: rounds of an earlier training) ► evaluate (fits of folds, in parallel) ► candidate (calibration, threshold, metrics, cross-fitted)
//!                    └ ensemble (vote: weights, cross-fitted) ► select ► optimism, importance
//! ```
//!
//! No time, thread count or address affects the result: the same snapshot and spec give the same bytes.

mod board;
pub mod bundle;
pub mod calibrate;
pub mod candidate;
pub mod compare;
pub(crate) mod deal;
mod ensemble;
pub mod error;
mod evaluate;
mod fit_rows;
pub mod folds;
pub mod given;
mod grouped;
pub mod held_out;
mod hold_out;
pub mod importance;
mod in_time;
pub mod kept;
pub mod labels;
pub mod metrics;
pub mod optimism;
pub mod plan;
pub mod progress;
pub mod reference;
mod resample;
pub mod search;
pub mod select;
mod selected;
pub(crate) mod size;
pub mod split_error;
pub mod splits;
mod stratified;
pub mod threshold;
pub mod train;
mod vote;
pub mod weights;

pub(crate) use evaluate::score_rows;
