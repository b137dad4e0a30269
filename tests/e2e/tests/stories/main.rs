//! Stories that run beside each other, but for those of `alone` and `loaded`: each has a namespace of its own and leaves the
//! release as it is.

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
