//! Stories that take away a part of the release: nothing else may run beside them.

mod outages;
mod rest;
