//! The mathematics that tests and evidence share. Only `+ - * / sqrt` and `libm`: the same on any machine.

pub mod discovery;
pub mod special;
