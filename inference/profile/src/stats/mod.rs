//! The mathematics that tests and evidence share. Only `+ - * / sqrt` and `libm`: the same on any machine.

pub mod hypergeometric;
pub mod kolmogorov;
pub mod special;
