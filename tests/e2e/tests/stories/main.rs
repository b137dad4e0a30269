//! Stories run in parallel, except those of `alone` and `loaded`. Each has its own namespace and does not change the release.

mod alone;
mod approval;
mod custom_trainer;
mod deletion;
mod drift;
mod import;
mod loaded;
mod security;
mod serving;
mod training;
