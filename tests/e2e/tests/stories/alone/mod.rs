//! Stories that stop a part of the release: nothing else may run at the same time.

mod outages;
mod rest;
