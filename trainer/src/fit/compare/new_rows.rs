//! Which rows the champion was not trained on.

use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
};

use modelward_crds::Champion;
use modelward_model::TargetInfo;
use modelward_wire::NewRows;

use crate::{
    data::dataset::Dataset,
    fit::compare::{
        champion::{Known, Opened},
        error::CompareError,
    },
};

/// If rows have this many equals on average, an equal row does not show whether a row is known.
const MOST_ALIKE: usize = 4;

/// Distinguishes new rows from known ones, row by row: of equal rows, as many are new as there are more than the champion was trained on.
pub(super) struct Seen<'a> {
    known: &'a HashMap<String, Known>,
    /// How many rows of a hash there are in this file.
    here: HashMap<String, usize>,
    /// The most that one file had, if that is more than are known.
    most: HashMap<String, usize>,
}

// === impl Seen ===

impl<'a> Seen<'a> {
    pub(super) fn new(known: &'a HashMap<String, Known>) -> Self {
        Self {
            known,
            here: HashMap::new(),
            most: HashMap::new(),
        }
    }

    /// Whether the next row is new. Another patient with the same values is.
    pub(super) fn is_new(&mut self, hash: &str) -> bool {
        let here = self.here.entry(hash.to_owned()).or_default();
        *here += 1;
        let known = self.known.get(hash).map_or(0, |known| known.rows);
        let most = self.most.get(hash).copied().unwrap_or(known);
        if *here <= most {
            return false;
        }
        self.most.insert(hash.to_owned(), *here);
        true
    }

    /// A row that another file has again is the same row.
    pub(super) fn next_file(&mut self) {
        self.here.clear();
    }
}

/// How many rows of a snapshot are new; its files have this many rows each, in the order of the data. The champion's bundle is in `dir`.
pub fn count_new_rows(
    dir: &Path,
    champion: &Champion,
    target: &TargetInfo,
    data: &Dataset,
    files: impl IntoIterator<Item = usize>,
) -> Result<NewRows, CompareError> {
    let opened = Opened::open(dir, champion, target)?;
    let places = opened.places(data)?;
    if let Some((rows, different)) = too_alike(&opened.known) {
        return Err(CompareError::Alike {
            version: champion.version.clone(),
            rows,
            different,
        });
    }
    let names: BTreeSet<&str> = places.keys().copied().collect();
    let mut seen = Seen::new(&opened.known);
    let mut counted = NewRows {
        rows: 0,
        positive_rows: 0,
        repeated_rows: 0,
    };
    let mut first = 0;
    for rows in files {
        seen.next_file();
        let end = (first + rows).min(data.len());
        let is_new = |row: &usize| seen.is_new(&data.row_hash_of(*row, &names));
        let new: Vec<usize> = (first..end).filter(is_new).collect();
        if !new.is_empty() {
            counted.rows += new.len() as u64;
            counted.positive_rows += new.iter().filter(|row| data.labels[**row]).count() as u64;
            counted.repeated_rows += (end - first - new.len()) as u64;
        }
        first = end;
    }
    Ok(counted)
}

/// The rows and how many different ones, if they are too few to tell a repeated row from a new one with the same values.
fn too_alike(known: &HashMap<String, Known>) -> Option<(usize, usize)> {
    let rows: usize = known.values().map(|known| known.rows).sum();
    (rows > MOST_ALIKE * known.len()).then_some((rows, known.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(rows: &[(&str, usize)]) -> HashMap<String, Known> {
        let known = |rows| Known {
            rows,
            ..Known::default()
        };
        rows.iter()
            .map(|(hash, rows)| ((*hash).to_owned(), known(*rows)))
            .collect()
    }

    #[test]
    fn rows_of_few_different_values_cannot_be_told_apart() {
        assert_eq!(too_alike(&known(&[("a", 150), ("b", 153)])), Some((303, 2)));
        assert_eq!(
            too_alike(&known(&[("a", 4), ("b", 4)])),
            None,
            "four exports of the same rows"
        );
        assert_eq!(too_alike(&known(&[("a", 1), ("b", 1), ("c", 2)])), None);
    }

    #[test]
    fn of_equal_rows_as_many_are_new_as_there_are_more_in_one_file() {
        let known = known(&[("a", 1), ("b", 2)]);
        let mut seen = Seen::new(&known);
        let mut file = |hashes: &[&str]| {
            seen.next_file();
            hashes.iter().map(|hash| seen.is_new(hash)).collect::<Vec<_>>()
        };
        assert_eq!(file(&["a", "b", "b"]), [false; 3], "what it was trained on");
        assert_eq!(
            file(&["a", "b", "b", "a", "c", "c"]),
            [false, false, false, true, true, true],
            "the same export, later"
        );
        assert_eq!(
            file(&["c", "a", "c", "a", "c"]),
            [false, false, false, false, true],
            "an export that overlaps with it"
        );
    }
}
