//! From a snapshot to a bundle.
//!
//! ```text
//! Dataset ──folds──► train ──metrics──► Trained ──compare with the champion──► bundle, with the reference of its data
//! ```
//!
//! No clock, no thread count and no address gets into what is made here: the same snapshot and spec give the same bytes.

pub mod bundle;
pub mod compare;
pub mod folds;
pub mod metrics;
pub mod reference;
pub mod train;
pub mod weights;
