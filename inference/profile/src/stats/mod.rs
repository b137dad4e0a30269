//! The mathematics of the verdict, from whole counts to numbers. Only `+ - * / sqrt` and `libm`: the same on any machine.

pub mod discovery;
pub mod rates;
pub mod special;
pub mod variation;
