//! The order of a model's versions.
//!
//! The API server stores times in whole seconds, so versions of one `kubectl apply` often have the same creation time.
//! Their names decide then, with numbers compared as numbers: `heart-2` comes before `heart-10`. A version that was deleted and
//! recreated within a second has the same name; then the uid decides.

use jiff::Timestamp;
use modelward_crds::{ModelVersion, RoutedVersion};

/// A version's place in the order of its model's versions. The greatest is the newest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(Timestamp, Vec<Part>, String);

/// A piece of a name. Numbers come before words.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// How many digits, leading zeros left out, and the digits: a name's number can be longer than any integer.
    Number(usize, String),
    Word(String),
}

// === impl Place ===

impl Place {
    /// The place of a version by its creation time, name and uid.
    pub fn new(created: Timestamp, name: &str, uid: &str) -> Self {
        Self(created, parts(name), uid.to_owned())
    }

    /// The place of a version. One without a creation time, which is not stored in the API server, is the oldest.
    pub fn of_version(version: &ModelVersion) -> Self {
        let meta = &version.metadata;
        Self::new(
            meta.creation_timestamp
                .as_ref()
                .map(|time| time.0)
                .unwrap_or_default(),
            meta.name.as_deref().unwrap_or_default(),
            meta.uid.as_deref().unwrap_or_default(),
        )
    }

    /// The place of a version that a Model records.
    pub fn of(version: &RoutedVersion) -> Self {
        Self::new(version.created_at.0, &version.name, &version.uid)
    }
}

fn parts(name: &str) -> Vec<Part> {
    name.as_bytes()
        .chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit())
        .map(|piece| {
            let piece = String::from_utf8_lossy(piece);
            if piece.starts_with(|first: char| first.is_ascii_digit()) {
                let digits = piece.trim_start_matches('0');
                Part::Number(digits.len(), digits.to_owned())
            } else {
                Part::Word(piece.into_owned())
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(second: i64, name: &str) -> Place {
        Place::new(Timestamp::from_second(second).unwrap(), name, "uid")
    }

    #[test]
    fn the_later_one_is_newer_whatever_it_is_called() {
        assert!(place(2, "heart-1") > place(1, "heart-2"));
    }

    #[test]
    fn versions_of_one_second_are_ordered_as_people_number_them() {
        for (older, newer) in [
            ("heart-1", "heart-2"),
            ("heart-2", "heart-10"),
            ("heart-9", "heart-010"),
            ("heart-v1.9", "heart-v1.10"),
            ("heart-7", "heart-rc"),
            ("heart-99999999999999999999", "heart-100000000000000000000"),
            ("a", "a-1"),
        ] {
            assert!(place(1, older) < place(1, newer), "{older} before {newer}");
        }
    }

    #[test]
    fn names_that_read_the_same_are_ordered_by_uid() {
        let at = Timestamp::from_second(1).unwrap();
        assert!(Place::new(at, "heart-1", "a") < Place::new(at, "heart-1", "b"));
        assert!(Place::new(at, "heart-01", "a") < Place::new(at, "heart-1", "b"));
    }
}
