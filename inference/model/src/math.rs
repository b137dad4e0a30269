//! One implementation of the functions whose last bit differs between C libraries.
//!
//! Otherwise a trainer linked with glibc and a server linked with musl would disagree on about one score in three thousand,
//! by one unit in the last place. This would fail the warm-up sample, which is compared bit for bit.

/// The logistic function, 1 / (1 + e^-z): 0 for minus infinity, 1 for infinity, NaN for NaN.
pub fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-z))
}

/// The exponential function.
pub fn exp(x: f64) -> f64 {
    libm::exp(x)
}

/// The natural logarithm.
pub fn ln(x: f64) -> f64 {
    libm::log(x)
}

/// The shortest decimal that parses to this `f32`, as an `f64`: 6.2 and not 6.199999809265137.
///
/// So files show the number that was in the data, and casting it to `f32` again gives the same bits.
pub fn shortest(x: f32) -> f64 {
    let decimal: f64 = x.to_string().parse().unwrap_or(f64::NAN);
    // Rounding twice, to f64 and then to f32, can be off by one unit if the decimal is halfway between two floats.
    if decimal as f32 == x {
        decimal
    } else {
        f64::from(x)
    }
}

/// The logistic function in single precision, step by step as XGBoost computes it.
///
/// Its exponential is that of glibc, so the result has the same bits as XGBoost on Linux. For any finite `x` it is within 0 and 1.
pub fn sigmoid_single(x: f32) -> f32 {
    // XGBoost adds 1e-16 to the denominator. This is omitted, because it does not change a denominator of at least 1.
    1.0 / (exp_single((-x).min(88.7)) + 1.0)
}

/// The logit in single precision, as XGBoost computes it, with the same bits as glibc: infinite at 0 and 1, NaN outside.
pub fn logit_single(probability: f32) -> f32 {
    -ln_single(1.0 / probability - 1.0)
}

/// e^x in single precision; 0 below -87.3, where glibc has subnormal numbers. `x` is at most 88.7.
///
/// The algorithm and the table are those of ARM's optimised routines (MIT licence), which glibc uses. Without fused
/// multiplication, 2 of the 2.2e9 arguments give a different last bit than glibc 2.36 with it.
fn exp_single(x: f32) -> f32 {
    const INVERSE_LN2: f64 = f64::from_bits(0x4047_1547_652b_82fe);
    const ROUND: f64 = 6_755_399_441_055_744.0;
    const POLYNOMIAL: [f64; 3] = [
        f64::from_bits(0x3ebc_6af8_4b91_2394),
        f64::from_bits(0x3f2e_bfce_50fa_c4f3),
        f64::from_bits(0x3f96_2e42_ff0c_52d6),
    ];
    if x.is_nan() {
        return x;
    }
    if x < -87.3 {
        return 0.0;
    }
    let z = INVERSE_LN2 * f64::from(x);
    let rounded = z + ROUND;
    let index = rounded.to_bits();
    let r = z - (rounded - ROUND);
    let scale = f64::from_bits(EXP_TABLE[(index % 32) as usize].wrapping_add(index << 47));
    let square = r * r;
    let tail = POLYNOMIAL[0] * r + POLYNOMIAL[1];
    ((tail * square + (POLYNOMIAL[2] * r + 1.0)) * scale) as f32
}

/// The natural logarithm in single precision, ARM's routine as in [`exp_single`]. It has the same bits as glibc for every
/// normal number.
fn ln_single(x: f32) -> f32 {
    const OFFSET: u32 = 0x3f33_0000;
    const LN2: f64 = f64::from_bits(0x3fe6_2e42_fefa_39ef);
    const POLYNOMIAL: [f64; 3] = [
        f64::from_bits(0xbfd0_0ea3_48b8_8334),
        f64::from_bits(0x3fd5_575b_0be0_0b6a),
        f64::from_bits(0xbfdf_fffe_f20a_4123),
    ];
    if x == 1.0 {
        return 0.0;
    }
    if !x.is_normal() || x < 0.0 {
        // The logit of a clamped probability does not reach this, so the last bit of subnormal numbers does not matter.
        return libm::log(f64::from(x)) as f32;
    }
    let bits = x.to_bits();
    let above = bits.wrapping_sub(OFFSET);
    let exponent = f64::from(above.cast_signed() >> 23);
    let z = f64::from(f32::from_bits(bits.wrapping_sub(above & 0xff80_0000)));
    let (inverse, log) = LN_TABLE[(above >> 19) as usize % 16];
    let r = z * f64::from_bits(inverse) - 1.0;
    let start = f64::from_bits(log) + exponent * LN2;
    let square = r * r;
    let tail = POLYNOMIAL[0] * square + (POLYNOMIAL[1] * r + POLYNOMIAL[2]);
    (tail * square + (start + r)) as f32
}

/// Bits of 2^(i/32) minus i << 47.
const EXP_TABLE: [u64; 32] = [
    0x3ff0_0000_0000_0000,
    0x3fef_d9b0_d315_8574,
    0x3fef_b558_6cf9_890f,
    0x3fef_9301_d012_5b51,
    0x3fef_72b8_3c7d_517b,
    0x3fef_5487_3168_b9aa,
    0x3fef_387a_6e75_6238,
    0x3fef_1e9d_f51f_dee1,
    0x3fef_06fe_0a31_b715,
    0x3fee_f1a7_373a_a9cb,
    0x3fee_dea6_4c12_3422,
    0x3fee_ce08_6061_892d,
    0x3fee_bfda_d536_2a27,
    0x3fee_b42b_569d_4f82,
    0x3fee_ab07_dd48_5429,
    0x3fee_a47e_b03a_5585,
    0x3fee_a09e_667f_3bcd,
    0x3fee_9f75_e8ec_5f74,
    0x3fee_a114_73eb_0187,
    0x3fee_a589_994c_ce13,
    0x3fee_ace5_422a_a0db,
    0x3fee_b737_b0cd_c5e5,
    0x3fee_c491_82a3_f090,
    0x3fee_d503_b23e_255d,
    0x3fee_e89f_995a_d3ad,
    0x3fee_ff76_f2fb_5e47,
    0x3fef_199b_dd85_529c,
    0x3fef_3720_dcef_9069,
    0x3fef_5818_dcfb_a487,
    0x3fef_7c97_337b_9b5f,
    0x3fef_a4af_a2a4_90da,
    0x3fef_d076_5b6e_4540,
];

/// For each sixteenth of an octave: the bits of the inverse of a number near its middle, and of that number's logarithm.
const LN_TABLE: [(u64, u64); 16] = [
    (0x3ff6_61ec_79f8_f3be, 0xbfd5_7bf7_808c_aade),
    (0x3ff5_71ed_4aaf_883d, 0xbfd2_bef0_a7c0_6ddb),
    (0x3ff4_9539_f0f0_10b0, 0xbfd0_1eae_7f51_3a67),
    (0x3ff3_c995_b0b8_0385, 0xbfcb_31d8_a682_24e9),
    (0x3ff3_0d19_0c88_64a5, 0xbfc6_574f_0ac0_7758),
    (0x3ff2_5e22_7b0b_8ea0, 0xbfc1_aa2b_c79c_8100),
    (0x3ff1_bb4a_4a1a_343f, 0xbfba_4e76_ce8c_0e5e),
    (0x3ff1_2358_f08a_e5ba, 0xbfb1_973c_5a61_1ccc),
    (0x3ff0_953f_4199_00a7, 0xbfa2_52f4_38e1_0c1e),
    (0x3ff0_0000_0000_0000, 0x0000_0000_0000_0000),
    (0x3fee_608c_fd9a_47ac, 0x3faa_a5aa_5df2_5984),
    (0x3fec_a4b3_1f02_6aa0, 0x3fbc_5e53_aa36_2eb4),
    (0x3feb_2036_576a_fce6, 0x3fc5_26e5_7720_db08),
    (0x3fe9_c2d1_63a1_aa2d, 0x3fcb_c286_0d22_4770),
    (0x3fe8_86e6_0378_41ed, 0x3fd1_058b_c8a0_7ee1),
    (0x3fe7_67dc_f553_4862, 0x3fd4_0430_57b6_ee09),
];

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

    #[test]
    fn single_precision_has_the_bits_of_glibc() {
        let bits = [-87.3, -1.0, 0.0, 0.3, 20.0, 88.0].map(|x| sigmoid_single(x).to_bits());
        let expected = [
            0x0084_c38c,
            0x3e89_b2b1,
            0x3f00_0000,
            0x3f13_0eaa,
            0x3f80_0000,
            0x3f80_0000,
        ];
        assert_eq!(bits, expected, "{bits:#010x?}");
        assert_eq!(logit_single(1e-6).to_bits(), 3_244_100_692);
        assert_eq!(logit_single(1.0 - 1e-6).to_bits(), 1_096_543_277);
        assert_eq!(logit_single(0.5).to_bits(), (-0.0_f32).to_bits());
    }

    #[test]
    fn the_logistic_function_in_single_precision_reaches_both_ends_without_nan() {
        assert_eq!(sigmoid_single(0.0), 0.5);
        assert!(sigmoid_single(f32::MIN) >= 0.0 && sigmoid_single(f32::MIN) < 1e-38);
        assert_eq!(sigmoid_single(f32::MAX), 1.0);
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
