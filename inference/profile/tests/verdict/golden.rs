//! Compares the special functions and the two-sample tests with SciPy: see `golden.py`.

use modelward_profile::{
    stats::{
        hypergeometric::Split,
        kolmogorov::log_tail,
        special::{gamma_quantile, gamma_upper, normal_quantile, normal_upper},
    },
    test::{
        rates::{Rate, compare_rates},
        variation::compare_counts,
    },
};
use serde_json::Value;

fn golden(name: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("golden.json")).unwrap();
    let cases = all[name].as_array().unwrap().clone();
    assert!(!cases.is_empty());
    cases
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn counts(value: &Value) -> Vec<u64> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|count| count.as_u64().unwrap())
        .collect()
}

/// Relative error, or absolute error if zero is expected.
fn close(found: f64, expected: f64, within: f64, what: &Value) {
    let scale = if expected == 0.0 { 1.0 } else { expected.abs() };
    assert!(
        (found - expected).abs() <= within * scale,
        "{what}: {found:e}, SciPy {expected:e}"
    );
}

#[test]
fn gamma_functions_equal_scipys() {
    for case in golden("gamma_upper") {
        close(
            gamma_upper(number(&case[0]), number(&case[1])),
            number(&case[2]),
            1e-11,
            &case,
        );
    }
    for case in golden("gamma_quantile") {
        close(
            gamma_quantile(number(&case[0]), number(&case[1])),
            number(&case[2]),
            1e-10,
            &case,
        );
    }
}

#[test]
fn normal_functions_equal_scipys() {
    for case in golden("normal_upper") {
        close(normal_upper(number(&case[0])), number(&case[1]), 1e-12, &case);
    }
    for case in golden("normal_quantile") {
        close(normal_quantile(number(&case[0])), number(&case[1]), 1e-14, &case);
    }
}

#[test]
fn the_tail_of_kolmogorov_and_smirnov_equals_scipys() {
    for case in golden("kolmogorov") {
        let many = case["many"].as_u64().unwrap();
        let few = case["few"].as_u64().unwrap();
        let distance = u128::from(case["distance"].as_u64().unwrap());
        let expected = number(&case["p"]);
        // Near the level the exact tail is computed.
        let found = libm::exp(log_tail(many, few, distance, libm::log(expected)));
        close(found, expected, 1e-7, &case);
    }
}

#[test]
fn the_bounds_of_total_variation_equal_numpys() {
    for case in golden("variation") {
        let (reference, window) = (counts(&case["reference"]), counts(&case["window"]));
        let found = compare_counts(&reference, &window, false, 0.95).unwrap();
        close(found.estimate, number(&case["estimate"]), 1e-12, &case);
        close(found.lower, number(&case["lower"]), 1e-10, &case);
        close(found.upper, number(&case["upper"]), 1e-12, &case);
    }
}

#[test]
fn two_rates_are_compared_as_by_scipy() {
    for case in golden("rates") {
        let counts = counts(&case["counts"]);
        let rate = |at: usize| Rate {
            hits: counts[at],
            of: counts[at + 1],
        };
        let found = compare_rates(rate(0), rate(2), 0.95).unwrap();
        close(found.lower, number(&case["lower"]), 1e-12, &case);
        close(found.upper, number(&case["upper"]), 1e-12, &case);
        let [before, many, now, few] = [0, 1, 2, 3].map(|at| u128::from(counts[at]));
        let p_value = libm::exp(Split::new(before, many, now, few).log_two_sided());
        let expected = number(&case["p"]);
        // An upper bound if the tail is long.
        assert!(
            p_value >= expected * (1.0 - 1e-7) && p_value <= expected * 1.05 + 1e-12,
            "{case}: {p_value}"
        );
    }
}
