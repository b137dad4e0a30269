//! The loop from drift to a promoted version, with the operator's connection cut at every write.
//!
//! ```text
//! without a fault:   write 1 ─ write 2 ─ … ─ write N ─► end state E, audit log A
//! trial (i, cut):    write 1 ─ … ─ write i ✂ ─ another operator ─ … ─► end state = E, and A keeps the invariants
//! ```
//!
//! Uses a real kube-apiserver with the chart's admission policies, a real PostgreSQL, the real ledger, and the real reconcilers
//! with the permissions of the chart. Fake controllers run Jobs, Pods and rollouts and collect garbage. The clock is advanced
//! instead of waiting.

pub mod cluster;
pub mod judge;
pub mod stage;
pub mod state;
pub mod story;
pub mod trial;
pub mod world;
