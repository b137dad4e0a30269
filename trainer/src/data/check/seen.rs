//! What the cells of a column look like, in one pass over them.

use modelward_wire::Violation;

use crate::data::{
    check::{broken::quoted, cells::Column, missing_words::usual_spelling},
    number::{Guess, Mark, NOTATIONS, Notation, guess},
    table::Quote,
    violation::{cut, violation},
};

/// Words of a part that are looked at closely; others are counted. That is enough to see a notation.
const LOOKED_AT: u64 = 10_000;

/// Spellings of "missing" that are kept apart.
const MAX_SPELLINGS: usize = 8;

/// Values that a report shows, and their characters.
const MAX_EXAMPLES: usize = 5;
const MAX_EXAMPLE: usize = 40;

/// What the cells of a column look like.
#[derive(Debug, Default)]
pub(super) struct Seen<'a> {
    pub(super) parts: Vec<SeenPart<'a>>,
    /// The first different values of parts that may be quoted.
    pub(super) examples: Vec<String>,
}

/// The same of one part.
#[derive(Debug, Default)]
pub(super) struct SeenPart<'a> {
    /// Its index.
    pub(super) part: usize,
    pub(super) missing: u64,
    /// Cells that are numbers as the part writes them.
    pub(super) numbers: u64,
    /// Cells that are not numbers.
    pub(super) words: u64,
    /// Usual spellings of "missing": the text, how many, the first row.
    pub(super) spellings: Vec<(&'a str, u64, u64)>,
    looked_at: Look<'a>,
    /// The last whole number, and whether each is one more than the one before it.
    last: Option<f64>,
    rising: bool,
}

/// Words that were looked at closely, without spellings of "missing".
#[derive(Debug, Default)]
struct Look<'a> {
    words: u64,
    dates: u64,
    sentences: u64,
    /// Words that are a number in some other notation.
    numbers: u64,
    first: Option<(u64, &'a str)>,
    /// For each notation, how many words it reads.
    read: [u64; NOTATIONS.len()],
    /// For each mark, how many words have it.
    marks: [u64; 4],
}

/// What is wrong with the notation of a part.
struct Remedy {
    what: &'static str,
    remedy: String,
}

// === impl Seen ===

impl<'a> Seen<'a> {
    pub(super) fn of(column: &Column<'a>) -> Self {
        let mut seen = Self::default();
        for ((part, row), cell) in &column.cells {
            if seen.parts.last().is_none_or(|last| last.part != *part) {
                seen.parts.push(SeenPart {
                    part: *part,
                    rising: true,
                    ..SeenPart::default()
                });
            }
            let Some(last) = seen.parts.last_mut() else {
                continue;
            };
            last.add(*row, *cell, column.notation(*part));
            if let Some(cell) = cell
                && seen.examples.len() < MAX_EXAMPLES
                && column.parts.quote(*part) == Quote::Yes
            {
                let example = cut(cell, MAX_EXAMPLE);
                if !seen.examples.contains(&example) {
                    seen.examples.push(example);
                }
            }
        }
        seen
    }

    pub(super) fn missing(&self) -> u64 {
        self.parts.iter().map(|part| part.missing).sum()
    }

    pub(super) fn numbers(&self) -> u64 {
        self.parts.iter().map(|part| part.numbers).sum()
    }

    pub(super) fn words(&self) -> u64 {
        self.parts.iter().map(|part| part.words).sum()
    }

    /// Words that are not a usual spelling of "missing".
    pub(super) fn other_words(&self) -> u64 {
        let spellings = self.parts.iter().flat_map(|part| &part.spellings);
        self.words() - spellings.map(|(_, count, _)| count).sum::<u64>()
    }

    /// Numbers and words that are numbers in some other notation, as far as words were looked at.
    pub(super) fn numbers_in_any_notation(&self) -> u64 {
        self.numbers() + self.parts.iter().map(|part| part.looked_at.numbers).sum::<u64>()
    }

    /// The usual spellings of "missing" among its words.
    pub(super) fn spellings(&self) -> Vec<String> {
        let all = self.parts.iter().flat_map(|part| &part.spellings);
        all.map(|(text, ..)| (*text).to_owned()).collect()
    }

    /// Whether nearly all words that were looked at are dates.
    pub(super) fn are_dates(&self) -> bool {
        self.share(|look| look.dates) >= 0.9
    }

    /// Whether most words that were looked at have several words in them.
    pub(super) fn are_sentences(&self) -> bool {
        self.share(|look| look.sentences) >= 0.5
    }

    /// What its words look like if that is not supported, and what to do about it.
    pub(super) fn unsupported_words(&self) -> Option<&'static str> {
        if self.are_dates() {
            Some(
                "dates; list the column in exclude, or write numbers in the source, such as days since a date",
            )
        } else if self.are_sentences() {
            Some("free text, which is not supported; list the column in exclude")
        } else {
            None
        }
    }

    fn share(&self, count: impl Fn(&Look<'_>) -> u64) -> f64 {
        let looks = || self.parts.iter().map(|part| &part.looked_at);
        let all: u64 = looks().map(|look| look.words).sum();
        let some: u64 = looks().map(count).sum();
        if all == 0 { 0.0 } else { some as f64 / all as f64 }
    }

    /// Whether the numbers are those of the rows: each is one more than the one before it.
    pub(super) fn are_row_numbers(&self) -> bool {
        self.words() == 0 && self.missing() == 0 && self.parts.iter().all(|part| part.rising)
    }

    /// Adds a violation for each part whose words are numbers in another notation. Returns whether there was one.
    pub(super) fn check_notation(&self, column: &Column<'_>, violations: &mut Vec<Violation>) -> bool {
        let mut found = false;
        for part in &self.parts {
            let Some(remedy) = part.remedy(column.notation(part.part)) else {
                continue;
            };
            let Some((row, word)) = part.looked_at.first else {
                continue;
            };
            let shown = match column.parts.quote(part.part) {
                Quote::Yes => quoted(word),
                Quote::No => format!("the value of row {row}"),
            };
            let count = part.words - part.spelled();
            let values = match count {
                1 => format!("{shown} is"),
                _ => format!("{shown} and {} more values are", count - 1),
            };
            let missing = match part.listed_spellings() {
                texts if texts.is_empty() => String::new(),
                texts => format!(", add {texts} to csv.missing"),
            };
            let message = format!(
                "{values} {}: {}{missing}; if they are codes, declare the feature Categorical",
                remedy.what, remedy.remedy
            );
            let message = column.parts.in_file(column.parts.name(part.part), &message);
            violations.push(violation(column.name, "Notation", message, count, Some(row)));
            found = true;
        }
        found
    }

    /// Adds a violation for each part with usual spellings of "missing", of a column whose other cells are numbers.
    pub(super) fn check_spellings(&self, column: &Column<'_>, violations: &mut Vec<Violation>) {
        for part in &self.parts {
            let Some((_, _, row)) = part.spellings.first() else {
                continue;
            };
            let count = part.spelled();
            let texts = part.listed_spellings();
            let message = format!(
                "{} values are numbers and {count} are {texts}, which usually means \"missing\": set csv.missing: [{texts}]; if it \
                 is a code, declare the feature Categorical",
                part.numbers
            );
            let message = column.parts.in_file(column.parts.name(part.part), &message);
            violations.push(violation(column.name, "Type", message, count, Some(*row)));
        }
    }
}

// === impl SeenPart ===

impl<'a> SeenPart<'a> {
    fn add(&mut self, row: u64, cell: Option<&'a str>, notation: Notation) {
        let Some(cell) = cell else {
            self.missing += 1;
            return;
        };
        if let Some(number) = notation.number(cell) {
            self.numbers += 1;
            self.rising &= number.fract() == 0.0 && self.last.is_none_or(|last| number - last == 1.0);
            self.last = Some(number);
            return;
        }
        self.words += 1;
        if usual_spelling(cell).is_some() && self.add_spelling(row, cell) {
            return;
        }
        if self.looked_at.words < LOOKED_AT {
            self.looked_at.add(row, cell);
        }
    }

    fn add_spelling(&mut self, row: u64, cell: &'a str) -> bool {
        if let Some((_, count, _)) = self.spellings.iter_mut().find(|(text, ..)| *text == cell) {
            *count += 1;
            return true;
        }
        if self.spellings.len() < MAX_SPELLINGS {
            self.spellings.push((cell, 1, row));
            return true;
        }
        false
    }

    fn spelled(&self) -> u64 {
        self.spellings.iter().map(|(_, count, _)| count).sum()
    }

    /// As a YAML list. They are words of a fixed list, so they may be quoted for any source.
    fn listed_spellings(&self) -> String {
        let texts: Vec<String> = self
            .spellings
            .iter()
            .map(|(text, ..)| format!("{text:?}"))
            .collect();
        texts.join(", ")
    }

    /// What to do if nearly all words are numbers in another notation.
    fn remedy(&self, own: Notation) -> Option<Remedy> {
        let look = &self.looked_at;
        if look.numbers == 0 || look.numbers * 10 < look.words * 9 {
            return None;
        }
        let most = *look.read.iter().max()?;
        let best: Vec<Notation> = NOTATIONS
            .iter()
            .zip(look.read)
            .filter(|(notation, read)| *read == most && **notation != own)
            .map(|(notation, _)| *notation)
            .collect();
        let is_own = |(notation, read): (&Notation, u64)| *notation == own && read == most;
        let plain = NOTATIONS.iter().zip(look.read).any(is_own);
        let marks = [Mark::Currency, Mark::Percent, Mark::Hexadecimal, Mark::Infinite];
        let commonest = marks.into_iter().zip(look.marks).max_by_key(|(_, count)| *count);
        if let Some((mark, count)) = commonest
            && count * 2 >= look.numbers
        {
            return Some(of_mark(mark, best.first().filter(|_| !plain)));
        }
        let first = *best.first()?;
        let thousands = best
            .iter()
            .find(|other| other.thousands.is_some() && other.decimal != first.decimal);
        Some(match (first, thousands) {
            // Three digits after each separator: thousands, most probably.
            (Notation { thousands: None, .. }, Some(other)) => Remedy {
                what: "numbers with a separator",
                remedy: format!(
                    "set {} for thousands, or {} for decimals",
                    other.remedy(),
                    first.remedy()
                ),
            },
            (Notation::PLAIN, None) => Remedy {
                what: "numbers with a decimal point",
                remedy: format!("set csv.decimal: \".\", the file does not use {}", own.remedy()),
            },
            (Notation { thousands: None, .. }, None) => Remedy {
                what: "numbers with a decimal comma",
                remedy: format!("set {}", first.remedy()),
            },
            (other, _) => Remedy {
                what: "numbers with separated thousands",
                remedy: format!("set {}", other.remedy()),
            },
        })
    }
}

fn of_mark(mark: Mark, notation: Option<&Notation>) -> Remedy {
    let set = notation.map_or_else(String::new, |notation| format!(" and set {}", notation.remedy()));
    let (what, remedy) = match mark {
        Mark::Currency => (
            "amounts with a currency sign",
            "remove the currency sign in the source",
        ),
        Mark::Percent => ("numbers with a percent sign", "remove \"%\" in the source"),
        Mark::Hexadecimal => (
            "hexadecimal numbers",
            "write them as decimal numbers in the source",
        ),
        Mark::Infinite => ("infinite", "remove these values, or add them to csv.missing"),
    };
    Remedy {
        what,
        remedy: format!("{remedy}{set}"),
    }
}

// === impl Look ===

impl<'a> Look<'a> {
    fn add(&mut self, row: u64, word: &'a str) {
        self.words += 1;
        self.dates += u64::from(is_date(word));
        self.sentences += u64::from(is_sentence(word));
        let Some(Guess { mark, notations }) = guess(word) else {
            return;
        };
        self.numbers += 1;
        self.first.get_or_insert((row, word));
        for (bit, read) in self.read.iter_mut().enumerate() {
            *read += u64::from(notations >> bit & 1);
        }
        if let Some(mark) = mark {
            self.marks[mark as usize] += 1;
        }
    }
}

/// Whether a word is a date: 2026-01-05, also with a time, 2026/1/5, 05.01.2026, 1/5/26.
pub(super) fn is_date(word: &str) -> bool {
    let date = word.split(['T', ' ']).next().unwrap_or_default();
    ['-', '/', '.'].into_iter().any(|joint| {
        let parts: Vec<&str> = date.split(joint).collect();
        let [first, second, third] = parts.as_slice() else {
            return false;
        };
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let lengths = (first.len(), second.len(), third.len());
        digits(first)
            && digits(second)
            && digits(third)
            && matches!(lengths, (4, 1 | 2, 1 | 2) | (1 | 2, 1 | 2, 2 | 4))
            && (first.len() == 4 || third.len() == 4 || joint != '.')
    })
}

fn is_sentence(word: &str) -> bool {
    word.len() >= 25 && word.split_ascii_whitespace().count() >= 4
}
