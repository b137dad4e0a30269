//! What a bootstrap draws: rows, or whole groups of rows.
//!
//! Rows of one group are alike. If they were drawn one by one, a draw would vary as little as if each of them were new information, and
//! the rows of a group would be both drawn and left out. So if folds separate no group, no draw does: as many groups are drawn as there
//! are, with replacement, each with all of its rows.

use std::collections::HashMap;

use crate::{data::row_columns::Groups, fit::folds::SplitMix64};

/// What is drawn.
#[derive(Clone, Debug)]
pub(crate) struct Units {
    /// If groups are drawn.
    groups: Option<DrawnGroups>,
}

#[derive(Clone, Debug)]
struct DrawnGroups {
    /// The group of each row, numbered in the order of their first rows.
    of_row: Vec<u32>,
    /// How often each group was drawn.
    times: Vec<u64>,
}

// === impl Units ===

impl Units {
    /// These rows, or their groups if there are any.
    pub(crate) fn new(rows: &[usize], groups: Option<&Groups>) -> Self {
        Self {
            groups: groups.map(|groups| DrawnGroups::new(rows, groups)),
        }
    }

    /// Draws as many as there are, with replacement. `times` gets how often each row was drawn.
    pub(crate) fn draw(&mut self, random: &mut SplitMix64, times: &mut [u64]) {
        match &mut self.groups {
            None => draw_each(random, times),
            Some(groups) => {
                draw_each(random, &mut groups.times);
                for (times, group) in times.iter_mut().zip(&groups.of_row) {
                    *times = groups.times[*group as usize];
                }
            }
        }
    }
}

/// Draws as many as there are, with replacement.
fn draw_each(random: &mut SplitMix64, times: &mut [u64]) {
    let count = times.len() as u64;
    times.fill(0);
    for _ in 0..count {
        times[random.below(count) as usize] += 1;
    }
}

// === impl DrawnGroups ===

impl DrawnGroups {
    fn new(rows: &[usize], groups: &Groups) -> Self {
        let mut numbers: HashMap<u32, u32> = HashMap::new();
        let number = |row: &usize| {
            let next = numbers.len() as u32;
            *numbers.entry(groups.of_row[*row]).or_insert(next)
        };
        let of_row: Vec<u32> = rows.iter().map(number).collect();
        Self {
            of_row,
            times: vec![0; numbers.len()],
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    /// The group of each row, by name.
    fn groups(of_row: &[&'static str]) -> Groups {
        Groups::of_values("patient", of_row.iter().map(|group| Cow::Borrowed(*group)))
    }

    #[test]
    fn the_rows_of_a_group_are_drawn_together_and_as_many_groups_as_there_are() {
        let groups = groups(&["a", "b", "a", "c", "c", "c", "b"]);
        // The first row is not drawn from.
        let mut units = Units::new(&[1, 2, 3, 4, 5, 6], Some(&groups));
        let mut random = SplitMix64::new(7);
        let mut draws = Vec::new();
        for _ in 0..50 {
            let mut times = [9; 6];
            units.draw(&mut random, &mut times);
            let [b, a, c, ..] = times;
            assert_eq!(times, [b, a, c, c, c, b]);
            assert_eq!(a + b + c, 3);
            draws.push(times);
        }
        assert!(draws.iter().any(|draw| *draw != draws[0]), "{draws:?}");
    }

    #[test]
    fn groups_of_one_row_are_drawn_as_rows_are() {
        let rows = [0, 1, 2, 3];
        let mut alone = Units::new(&rows, Some(&groups(&["a", "b", "c", "d"])));
        let mut plain = Units::new(&rows, None);
        let draw = |units: &mut Units| {
            let mut random = SplitMix64::new(7);
            let mut times = [0; 4];
            units.draw(&mut random, &mut times);
            units.draw(&mut random, &mut times);
            times
        };
        assert_eq!(draw(&mut alone), draw(&mut plain));
    }
}
