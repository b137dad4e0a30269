//! Texts.

use modelward_crds::{Expectation, MatchOn};
use regex::{Regex, RegexBuilder};

use crate::data::expectations::{
    contract::Evaluate,
    found::{Found, Tally, is_between, is_count},
    frame::Frame,
    raised::Raised,
    strftime::Format,
};

/// A compiled expression may take this many bytes.
const REGEX_BYTES: usize = 1 << 20;

/// A regular expression matches a part of each value, or of none.
pub(super) struct Match {
    wanted: bool,
}

pub(super) const MATCH_REGEX: Match = Match { wanted: true };
pub(super) const NOT_MATCH_REGEX: Match = Match { wanted: false };

pub(super) struct ValuesToMatchRegexList;
pub(super) struct ValuesToMatchStrftimeFormat;
pub(super) struct ValueLengthsToBeBetween;
pub(super) struct ValueLengthsToEqual;

/// The expression, or why there is none.
pub(super) fn compile(regex: &str) -> Result<Regex, Raised> {
    RegexBuilder::new(regex)
        .size_limit(REGEX_BYTES)
        .build()
        .map_err(|error| Raised(error.to_string()))
}

impl Evaluate for Match {
    fn evaluate(&self, frame: &mut Frame<'_>, given: &Expectation) -> Result<Found, Raised> {
        let regex = compile(given.regex.as_deref().unwrap_or_default())?;
        judge(frame, given, |text| regex.is_match(text) == self.wanted)
    }
}

impl Evaluate for ValuesToMatchRegexList {
    fn evaluate(&self, frame: &mut Frame<'_>, given: &Expectation) -> Result<Found, Raised> {
        let texts = given.regex_list.iter().flatten();
        let list = texts
            .map(|text| compile(text))
            .collect::<Result<Vec<_>, Raised>>()?;
        judge(frame, given, |text| {
            let mut matches = list.iter().map(|regex| regex.is_match(text));
            match given.match_on {
                Some(MatchOn::All) => matches.all(|matches| matches),
                _ => matches.any(|matches| matches),
            }
        })
    }
}

impl Evaluate for ValuesToMatchStrftimeFormat {
    fn evaluate(&self, frame: &mut Frame<'_>, given: &Expectation) -> Result<Found, Raised> {
        let format = given.strftime_format.as_deref().unwrap_or_default();
        let format = Format::new(format).map_err(Raised)?;
        let column = frame.column(given.column.as_deref().unwrap_or_default())?;
        let texts = match column.texts() {
            // A column without values has no type, and nothing is unexpected.
            Err(_) if column.present().next().is_none() => &[],
            texts => texts?,
        };
        let is_date = |row: usize| {
            texts
                .get(row)
                .copied()
                .flatten()
                .is_some_and(|text| format.matches(text))
        };
        let tally = Tally::of(column.present(), is_date);
        Ok(tally.finish(frame, given, column.present().count(), |row| column.json(row)))
    }
}

impl Evaluate for ValueLengthsToBeBetween {
    fn evaluate(&self, frame: &mut Frame<'_>, given: &Expectation) -> Result<Found, Raised> {
        judge(frame, given, |text| {
            is_between(text.chars().count() as f64, given)
        })
    }
}

impl Evaluate for ValueLengthsToEqual {
    fn evaluate(&self, frame: &mut Frame<'_>, given: &Expectation) -> Result<Found, Raised> {
        judge(frame, given, |text| is_count(text.chars().count(), given))
    }
}

/// Judges values as texts: a number as Python writes it.
fn judge(
    frame: &mut Frame<'_>,
    given: &Expectation,
    is_expected: impl Fn(&str) -> bool,
) -> Result<Found, Raised> {
    let column = frame.column(given.column.as_deref().unwrap_or_default())?;
    let tally = Tally::of(column.present(), |row| is_expected(&column.text(row)));
    Ok(tally.finish(frame, given, column.present().count(), |row| column.json(row)))
}
