//! How many findings among many looks may be wrong.

/// The q-value of each p-value: the least share of false discoveries at which it would be one.
///
/// Benjamini and Hochberg (J. R. Statist. Soc. B 57, 1995, 289-300): with the p-values in rising order,
/// qᵢ = min over j ≥ i of p₍ⱼ₎·m/j, at most 1. It holds for independent tests and for positively dependent ones
/// (Benjamini and Yekutieli, Annals of Statistics 29, 2001). Equal p-values have equal q-values.
pub fn q_values(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let tests = p_values.len() as f64;
    let mut q_values = vec![1.0; p_values.len()];
    let mut least: f64 = 1.0;
    for (rank, index) in order.iter().enumerate().rev() {
        least = least.min(p_values[*index] * tests / (rank + 1) as f64);
        q_values[*index] = least;
    }
    q_values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_example_of_the_paper_has_four_discoveries() {
        // Table 1 of Benjamini and Hochberg (1995), 15 tests, 5%.
        let p = [
            0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719,
            0.6528, 0.7590, 1.0,
        ];
        let found = q_values(&p).iter().filter(|q| **q <= 0.05).count();
        assert_eq!(found, 4);
    }

    #[test]
    fn order_does_not_matter_and_equal_values_are_equal() {
        assert_eq!(q_values(&[0.5, 0.01, 0.5, 0.01]), [0.5, 0.02, 0.5, 0.02]);
        assert_eq!(q_values(&[]), [] as [f64; 0]);
        assert_eq!(q_values(&[1.0, 1.0]), [1.0, 1.0]);
    }
}
