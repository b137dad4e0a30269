//! The functions whose last bit a C library may choose, from one implementation.
//!
//! A trainer linked with glibc and a server linked with musl would otherwise disagree on about one score in
//! three thousand, by one unit in the last place: enough to fail a warm-up sample that is compared bit for bit.

/// The logistic function, 1 / (1 + e^-z): 0 for minus infinity, 1 for infinity, NaN for NaN.
pub fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-z))
}

/// The natural logarithm.
pub fn ln(x: f64) -> f64 {
    libm::log(x)
}

/// The shortest decimal that reads back as this `f32`, as an `f64`: 6.2 and not 6.199999809265137.
///
/// Files for people show the number that was in the data, and casting it to `f32` again gives the same bits.
pub fn shortest(x: f32) -> f64 {
    let decimal: f64 = x.to_string().parse().unwrap_or(f64::NAN);
    // Rounding twice, to f64 and then to f32, can miss by one place where the text lies halfway.
    if decimal as f32 == x {
        decimal
    } else {
        f64::from(x)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_logistic_function_reaches_both_ends_without_nan() {
        assert_eq!(sigmoid(0.0), 0.5);
        assert_eq!(sigmoid(f64::NEG_INFINITY), 0.0);
        assert_eq!(sigmoid(-1e308), 0.0);
        assert_eq!(sigmoid(1e308), 1.0);
    }

    #[test]
    fn its_bits_are_pinned_so_that_another_implementation_is_noticed() {
        let bits = [sigmoid(0.1), sigmoid(-3.7), ln(0.3)].map(f64::to_bits);
        let expected = [
            0x3fe0_cca1_2729_afb8,
            0x3f98_b4c0_ffc1_4fbe,
            0xbff3_4378_fcbd_a721,
        ];
        assert_eq!(bits, expected, "{bits:#018x?}");
    }

    proptest! {
        #[test]
        fn the_shortest_decimal_of_any_number_casts_back_to_it(bits: u32) {
            let x = f32::from_bits(bits);
            prop_assume!(x.is_finite());
            prop_assert_eq!(shortest(x) as f32, x);
        }
    }
}
