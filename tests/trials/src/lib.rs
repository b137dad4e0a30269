//! The loop from drift to a promoted version, with the operator cut off at every write.
//!
//! ```text
//! without a fault:   write 1 ─ write 2 ─ … ─ write N ─► end state E, audit log A
//! trial (i, cut):    write 1 ─ … ─ write i ✂ ─ another operator ─ … ─► end state = E, and A keeps the invariants
//! ```
//!
//! A real kube-apiserver with the chart's gate, a real PostgreSQL, the real ledger and the real reconcilers under the rights
//! that the chart gives them; fake controllers run Jobs, Pods and rollouts and collect garbage. The clock is moved on instead of
//! waited for.

pub mod cluster;
pub mod judge;
pub mod stage;
pub mod state;
pub mod story;
pub mod trial;
pub mod world;
