//! Stories on a cluster. Each has a namespace, with versions created from the sample, users with their own credentials, requests
//! through the Service, and access to the node.
//!
//! The cluster is the one that `hack/cluster/cluster.sh env` names, with the release that `tests/install.sh` installs.

pub mod answers;
pub mod client;
pub mod cluster;
pub mod counts;
pub mod load;
pub mod outage;
pub mod people;
pub mod pods;
pub mod replay;
pub mod sample;
pub mod state;
pub mod store;
pub mod story;
pub mod wait;
