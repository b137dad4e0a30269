//! Columns that are neither features nor the target.

use std::collections::HashSet;

use modelward_wire::words;
use serde::{Deserialize, Serialize};

/// The values of such columns, in the order of the rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowColumns {
    /// Which rows belong together.
    pub groups: Option<Groups>,
    /// How much each row counts.
    pub weights: Option<Weights>,
    /// The time of each row.
    pub times: Option<Times>,
}

/// Which rows belong together.
#[derive(Clone, Debug, PartialEq)]
pub struct Groups {
    /// The column.
    pub column: String,
    /// Its different values, in canonical spelling, in the order in which rows first have them.
    pub names: Vec<String>,
    /// The index of each row's value.
    pub of_row: Vec<u32>,
}

/// How much each row counts in a fit.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// The column.
    pub column: String,
    /// Finite and not negative, one per row.
    pub of_row: Vec<f32>,
}

/// The time of each row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Times {
    /// The column.
    pub column: String,
    /// How all of its values are written.
    pub format: TimeFormat,
    /// Microseconds since 1970, one per row.
    pub of_row: Vec<i64>,
}

words! {
    /// How times are written.
    pub enum TimeFormat {
        /// Date, time and offset, such as `2026-01-31T08:30:00+01:00`.
        Rfc3339,
        /// A date, such as `2026-01-31`: the start of the day in UTC.
        Date,
        /// Date and time without an offset, such as `2026-01-31 08:30:00`, as pandas writes them: in UTC.
        WithoutOffset,
        /// Seconds since 1970 in UTC, with decimals or without.
        EpochSeconds,
    }
}

/// These columns, as `snapshot.json` names them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RowColumnsInfo {
    /// The column of groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupInfo>,
    /// The column of weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<WeightInfo>,
    /// The column of times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<TimeInfo>,
}

/// The column of groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupInfo {
    /// Its name.
    pub column: String,
    /// How many groups there are.
    pub groups: u64,
}

/// Rows with the weight 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WeightInfo {
    /// Its name.
    pub column: String,
    /// Rows that count nothing.
    pub zeros: u64,
}

/// The column of times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TimeInfo {
    /// Its name.
    pub column: String,
    /// How its values are written.
    pub format: TimeFormat,
    /// The earliest time.
    pub first: String,
    /// The latest time.
    pub last: String,
}

// === impl RowColumns ===

impl RowColumns {
    /// The values of some of the rows.
    #[must_use]
    pub fn of_rows(&self, rows: &[usize]) -> Self {
        Self {
            groups: self.groups.as_ref().map(|groups| Groups {
                of_row: rows.iter().map(|row| groups.of_row[*row]).collect(),
                ..groups.clone()
            }),
            weights: self.weights.as_ref().map(|weights| Weights {
                of_row: rows.iter().map(|row| weights.of_row[*row]).collect(),
                ..weights.clone()
            }),
            times: self.times.as_ref().map(|times| Times {
                of_row: rows.iter().map(|row| times.of_row[*row]).collect(),
                ..times.clone()
            }),
        }
    }

    /// Their entry in `snapshot.json`.
    pub fn info(&self) -> RowColumnsInfo {
        RowColumnsInfo {
            group: self.groups.as_ref().map(|groups| GroupInfo {
                column: groups.column.clone(),
                groups: groups.names.len() as u64,
            }),
            weight: self.weights.as_ref().map(|weights| WeightInfo {
                column: weights.column.clone(),
                zeros: weights.of_row.iter().filter(|weight| **weight == 0.0).count() as u64,
            }),
            time: self.times.as_ref().map(|times| TimeInfo {
                column: times.column.clone(),
                format: times.format,
                first: times
                    .of_row
                    .iter()
                    .min()
                    .map_or(String::new(), |time| show_time(*time)),
                last: times
                    .of_row
                    .iter()
                    .max()
                    .map_or(String::new(), |time| show_time(*time)),
            }),
        }
    }
}

/// Microseconds since 1970 as RFC 3339.
pub(crate) fn show_time(time: i64) -> String {
    jiff::Timestamp::from_microsecond(time).map_or_else(|_| time.to_string(), |time| time.to_string())
}

// === impl TimeFormat ===

impl TimeFormat {
    /// The format of this text; `number` is the number in it.
    pub fn recognise(text: &str, number: Option<f64>) -> Option<Self> {
        let formats = [Self::Rfc3339, Self::Date, Self::WithoutOffset, Self::EpochSeconds];
        formats
            .into_iter()
            .find(|format| format.read(text, number).is_some())
    }

    /// The time in this text, in microseconds since 1970; `number` is the number in it.
    pub fn read(self, text: &str, number: Option<f64>) -> Option<i64> {
        match self {
            Self::Rfc3339 => text
                .parse::<jiff::Timestamp>()
                .ok()
                .map(jiff::Timestamp::as_microsecond),
            Self::Date => {
                // Longer texts have a time too.
                let date: jiff::civil::Date = (text.len() == 10).then(|| text.parse().ok()).flatten()?;
                let start = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
                Some(start.timestamp().as_microsecond())
            }
            Self::WithoutOffset => {
                // The parser of such times would ignore an offset.
                let (_, time) = text.split_at_checked("2026-01-31".len())?;
                let is_time = |byte: u8| byte.is_ascii_digit() || matches!(byte, b':' | b'.');
                let digits = time.strip_prefix([' ', 'T'])?;
                let time: jiff::civil::DateTime =
                    digits.bytes().all(is_time).then(|| text.parse().ok()).flatten()?;
                let time = time.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
                Some(time.timestamp().as_microsecond())
            }
            Self::EpochSeconds => {
                let micros = (number? * 1e6).round();
                // The range of the years 1 to 9999 and a little more.
                let micros = (micros.abs() < 4e17).then_some(micros as i64)?;
                jiff::Timestamp::from_microsecond(micros).ok().map(|_| micros)
            }
        }
    }
}

// === impl Groups ===

impl Groups {
    /// How many groups these rows are of.
    pub fn count_of(&self, rows: &[usize]) -> usize {
        let of_rows: HashSet<u32> = rows.iter().map(|row| self.of_row[*row]).collect();
        of_rows.len()
    }

    /// The groups of these values, one per row.
    pub fn of_values<'a>(column: &str, values: impl Iterator<Item = std::borrow::Cow<'a, str>>) -> Self {
        let mut places = std::collections::HashMap::new();
        let mut names = Vec::new();
        let mut of_row = Vec::new();
        for value in values {
            let place = *places.entry(value).or_insert_with_key(|value| {
                names.push(value.clone().into_owned());
                names.len() as u32 - 1
            });
            of_row.push(place);
        }
        Self {
            column: column.to_owned(),
            names,
            of_row,
        }
    }
}

// === impl RowColumnsInfo ===

impl RowColumnsInfo {
    /// Each column with the field of the spec that names it, in the order of `TrainingSource::row_columns`.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let columns = [
            (
                "validation.groupBy",
                self.group.as_ref().map(|group| &group.column),
            ),
            (
                "weights.column",
                self.weight.as_ref().map(|weight| &weight.column),
            ),
            (
                "validation.timeSplit",
                self.time.as_ref().map(|time| &time.column),
            ),
        ];
        columns
            .into_iter()
            .filter_map(|(field, column)| Some((field, column?)))
    }

    /// Whether there is no such column.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_in_one_of_four_forms() {
        let read = |text: &str| {
            let number = text.parse().ok();
            TimeFormat::recognise(text, number).map(|format| (format, format.read(text, number).unwrap()))
        };
        let day = 1_767_225_600_000_000;
        assert_eq!(read("2026-01-01"), Some((TimeFormat::Date, day)));
        assert_eq!(
            read("2026-01-01T01:00:00+01:00"),
            Some((TimeFormat::Rfc3339, day))
        );
        assert_eq!(read("1767225600"), Some((TimeFormat::EpochSeconds, day)));
        assert_eq!(
            read("1767225600.5"),
            Some((TimeFormat::EpochSeconds, day + 500_000))
        );
        for text in [
            "2026-01-01 00:00:00",
            "2026-01-01T00:00:00",
            "2026-01-01 00:00:00.000",
        ] {
            assert_eq!(read(text), Some((TimeFormat::WithoutOffset, day)), "{text}");
        }
        let mixed = "2026-01-01T00:00:00+05:00";
        assert_eq!(TimeFormat::WithoutOffset.read(mixed, None), None);
        assert_eq!(TimeFormat::WithoutOffset.read("2026-01-01T00:00:00Z", None), None);
        assert_eq!(show_time(day), "2026-01-01T00:00:00Z");
        for text in [
            "",
            "2026-01-01T25:00:00",
            "2026-01-01 ",
            "01.02.2026",
            "2026-13-01",
            "1767225600000",
            "NaN",
            "yesterday",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
