//! Dates and times in a format, as Python's `datetime.strptime` reads them.

use std::fmt::Write as _;

use regex::{Captures, Regex};

/// A format of dates and times.
#[derive(Debug)]
pub(super) struct Format {
    regex: Regex,
}

/// What each directive matches, and the name of its group.
const DIRECTIVES: [(char, &str); 18] = [
    ('a', "(?:mon|tue|wed|thu|fri|sat|sun)"),
    (
        'A',
        "(?:monday|tuesday|wednesday|thursday|friday|saturday|sunday)",
    ),
    (
        'b',
        "(?P<month_name>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)",
    ),
    (
        'B',
        "(?P<month_name>january|february|march|april|may|june|july|august|september|october|november|december)",
    ),
    ('d', "(?P<day>3[0-1]|[1-2][0-9]|0[1-9]|[1-9]| [1-9])"),
    ('f', "(?:[0-9]{1,6})"),
    ('H', "(?:2[0-3]|[0-1][0-9]|[0-9])"),
    ('I', "(?:1[0-2]|0[1-9]|[1-9]| [1-9])"),
    ('m', "(?P<month>1[0-2]|0[1-9]|[1-9])"),
    ('M', "(?:[0-5][0-9]|[0-9])"),
    ('p', "(?:am|pm)"),
    ('S', "(?P<second>6[0-1]|[0-5][0-9]|[0-9])"),
    ('w', "(?:[0-6])"),
    ('y', "(?P<short_year>[0-9][0-9])"),
    ('Y', "(?P<year>[0-9][0-9][0-9][0-9])"),
    (
        'z',
        r"(?P<zone>[+-][0-9][0-9]:?[0-5][0-9](?::?[0-5][0-9](?:\.[0-9]{1,6})?)?|(?-i:Z))",
    ),
    ('Z', "(?:utc|gmt)"),
    ('%', "%"),
];

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

impl Format {
    /// The format of this text, or what is wrong with it.
    pub(super) fn new(format: &str) -> Result<Self, String> {
        let mut pattern = "(?i)^".to_owned();
        let mut letters = format.chars().peekable();
        while let Some(letter) = letters.next() {
            if letter == '%' {
                let directive = letters.next().unwrap_or_default();
                let known = DIRECTIVES.iter().find(|(known, _)| *known == directive);
                let (_, part) = known.ok_or_else(|| {
                    let known = DIRECTIVES.map(|(known, _)| format!("%{known}")).join(" ");
                    format!("strftimeFormat has %{directive}; known are {known}")
                })?;
                pattern.push_str(part);
            } else if letter.is_whitespace() {
                while letters.next_if(|next| next.is_whitespace()).is_some() {}
                pattern.push_str(r"\s+");
            } else {
                let _ = write!(pattern, "{}", regex::escape(&letter.to_string()));
            }
        }
        // Two groups with the same name are a directive that occurs twice, as in Python.
        let regex = Regex::new(&pattern)
            .map_err(|_| "strftimeFormat has a directive twice, or two with the same meaning".to_owned())?;
        Ok(Self { regex })
    }

    /// Whether the whole text is a date or time of this format.
    pub(super) fn matches(&self, text: &str) -> bool {
        self.regex.captures(text).is_some_and(|captures| {
            captures.get(0).is_some_and(|whole| whole.end() == text.len()) && exists(&captures)
        })
    }
}

/// Whether there is such a day and such a second.
fn exists(captures: &Captures<'_>) -> bool {
    let number = |name: &str| {
        let text = captures.name(name)?.as_str().trim();
        text.parse::<u32>().ok()
    };
    let named = captures.name("month_name").and_then(|name| {
        let short: String = name.as_str().chars().take(3).collect();
        MONTHS.iter().position(|month| month.eq_ignore_ascii_case(&short))
    });
    let month = number("month")
        .or_else(|| named.map(|at| at as u32 + 1))
        .unwrap_or(1);
    let day = number("day").unwrap_or(1);
    let year = number("year").or_else(|| {
        let short = number("short_year")?;
        Some(if short <= 68 { 2000 + short } else { 1900 + short })
    });
    let is_leap = match year {
        Some(year) => year % 4 == 0 && (year % 100 != 0 || year % 400 == 0),
        // Without a year, 1900 is meant.
        None => false,
    };
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => 31,
    };
    captures.name("zone").is_none_or(|zone| is_zone(zone.as_str()))
        && day <= days
        && year != Some(0)
        && number("second").is_none_or(|second| second < 60)
}

/// Whether an offset from UTC is below a day, with colons between all of its parts or none.
fn is_zone(text: &str) -> bool {
    let hours = text
        .get(1..3)
        .and_then(|hours| hours.parse::<u32>().ok())
        .unwrap_or(0);
    let whole = text.split('.').next().unwrap_or_default();
    let colons = whole.matches(':').count();
    let digits = whole.len() - colons - 1;
    hours < 24 && (colons == 0 || colons * 2 + 2 == digits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let date = Format::new("%Y-%m-%d").unwrap();
        for (text, is_date) in [
            ("2020-02-29", true),
            ("2021-02-29", false),
            ("1900-02-29", false),
            ("2020-2-9", true),
            ("2020-13-01", false),
            ("2020-04-31", false),
            ("0000-01-01", false),
            ("2020-01-01 ", false),
            ("x2020-01-01", false),
            ("", false),
        ] {
            assert_eq!(date.matches(text), is_date, "{text}");
        }
        let other = Format::new("%d %b %y, %I:%M %p").unwrap();
        assert!(other.matches("31 Jan 20, 12:59 pm"));
        assert!(!other.matches("31 Jan 20, 13:59 pm"));
        assert!(Format::new("%H:%M:%S.%f%z").unwrap().matches("23:59:59.5+01:00"));
        assert!(!Format::new("%S").unwrap().matches("60"));
    }

    #[test]
    fn an_unknown_directive_and_one_that_is_there_twice_are_refused() {
        assert!(Format::new("%Q").unwrap_err().contains("%Q"));
        assert!(Format::new("%Y %Y").is_err());
        assert!(Format::new("%").is_err());
    }

    proptest! {
        #[test]
        fn no_format_and_no_text_make_it_panic(format in ".{0,20}|(%[a-zA-Z%]|[-/ :.]){0,8}", text in ".{0,30}") {
            if let Ok(format) = Format::new(&format) {
                format.matches(&text);
            }
        }
    }
}
