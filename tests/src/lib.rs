//! Tests of the whole, and the client that they run inside a cluster.

pub mod load;
