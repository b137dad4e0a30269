//! Numbers as cells of a table write them.

use std::borrow::Cow;

use modelward_crds::CsvFormat;
pub use modelward_model::number;
use modelward_model::{Cell, FeatureKind, Missing, canonical_category};

/// How the numbers of a file are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notation {
    /// Before the decimals.
    pub decimal: char,
    /// Between groups of digits.
    pub thousands: Option<char>,
}

/// What may be written with a number and does not belong to a notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The sign or the code of a currency.
    Currency,
    /// A sign for per cent.
    Percent,
    /// `0x`.
    Hexadecimal,
    /// Infinity.
    Infinite,
}

/// How a text that is not a plain number may be read as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guess {
    /// What has to be removed first.
    pub mark: Option<Mark>,
    /// A bit for each of [`NOTATIONS`] that reads the rest.
    pub notations: u16,
}

/// Notations that are recognised, simple ones first.
pub const NOTATIONS: [Notation; 9] = [
    notation(',', None),
    notation('.', Some(',')),
    notation(',', Some('.')),
    notation('.', Some(' ')),
    notation(',', Some(' ')),
    notation('.', Some('\'')),
    notation(',', Some('\'')),
    notation('.', Some('_')),
    Notation::PLAIN,
];

/// Currency signs; some are written before the amount, some after it.
const SIGNS: [char; 18] = [
    '$', '€', '£', '¥', '₹', '₽', '₩', '₺', '₴', '₫', '₪', '₦', '₱', '฿', '₡', '₲', '₵', '¢',
];

/// Codes and abbreviations of currencies.
const CODES: [&str; 24] = [
    "EUR", "USD", "GBP", "CHF", "JPY", "CNY", "INR", "RUB", "KRW", "TRY", "UAH", "SEK", "NOK", "DKK", "PLN",
    "CZK", "HUF", "BRL", "AUD", "CAD", "kr", "zł", "Kč", "Rs",
];

const fn notation(decimal: char, thousands: Option<char>) -> Notation {
    Notation { decimal, thousands }
}

/// How a text that is not a number in a file's notation may be one in another; `None` if it is none.
pub fn guess(text: &str) -> Option<Guess> {
    let unsigned = strip_sign(text).1;
    let lower = |word: &str| unsigned.eq_ignore_ascii_case(word);
    let is_infinite = ["inf", "infinity", "1.#inf", "∞"].into_iter().any(lower) || is_beyond_doubles(text);
    if is_infinite {
        return Some(Guess {
            mark: Some(Mark::Infinite),
            notations: 0,
        });
    }
    if !text.bytes().any(|byte| byte.is_ascii_digit()) || text.len() > 64 {
        return None;
    }
    let hexadecimal = unsigned
        .strip_prefix("0x")
        .or_else(|| unsigned.strip_prefix("0X"));
    if hexadecimal.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit())) {
        return Some(Guess {
            mark: Some(Mark::Hexadecimal),
            notations: 0,
        });
    }
    let (mark, rest) = strip_mark(text);
    let mut notations = 0;
    for (bit, notation) in NOTATIONS.iter().enumerate() {
        notations |= u16::from(notation.number(&rest).is_some()) << bit;
    }
    (notations > 0).then_some(Guess { mark, notations })
}

/// Whether it is a number whose exponent is greater than any that is read.
fn is_beyond_doubles(text: &str) -> bool {
    text.len() <= 64
        && text.contains(['e', 'E'])
        && text.bytes().any(|byte| byte.is_ascii_digit())
        && text.parse::<f64>().is_ok_and(f64::is_infinite)
}

/// The text without a percent or currency sign.
fn strip_mark(text: &str) -> (Option<Mark>, Cow<'_, str>) {
    if let Some(rest) = text.strip_suffix('%') {
        return (Some(Mark::Percent), rest.trim_end().into());
    }
    let (sign, amount) = strip_sign(text);
    let before = amount
        .strip_prefix(SIGNS)
        .or_else(|| CODES.iter().find_map(|code| amount.strip_prefix(code)));
    let behind = amount
        .strip_suffix(SIGNS)
        .or_else(|| CODES.iter().find_map(|code| amount.strip_suffix(code)));
    match before.or(behind) {
        Some(rest) => (Some(Mark::Currency), format!("{sign}{}", rest.trim()).into()),
        None => (None, text.into()),
    }
}

/// The sign in ASCII, and the rest.
fn strip_sign(text: &str) -> (&'static str, &str) {
    match text.strip_prefix(['-', '\u{2212}']) {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    }
}

/// A cell of a file, read for a feature of a model.
#[derive(Clone, Debug, PartialEq)]
pub enum FileCell<'a> {
    /// No value.
    Missing,
    /// The number of a numeric feature.
    Number(f64),
    /// The canonical category, or what is no number in the column of a numeric feature.
    Text(Cow<'a, str>),
}

/// A cell as the server would get it from a client that knows the format of the file: the number, category or missing value that
/// training reads in it. What the bundle calls missing is read by its schema.
pub fn read_cell<'a>(
    kind: &FeatureKind,
    text: &'a str,
    notation: Notation,
    missing: &Missing,
) -> FileCell<'a> {
    match kind {
        FeatureKind::Numeric { .. } if notation.is_missing(text, missing) => FileCell::Missing,
        FeatureKind::Numeric { .. } => notation
            .number(text)
            .map_or(FileCell::Text(text.into()), FileCell::Number),
        FeatureKind::Categorical { categories } => {
            let word = notation.category(text);
            // A category of the model is one in a request too, whatever a file calls missing.
            let is_known = categories.iter().any(|known| *known == word);
            if !is_known && notation.is_missing(text, missing) {
                return FileCell::Missing;
            }
            FileCell::Text(word)
        }
    }
}

// === impl FileCell ===

impl FileCell<'_> {
    /// The same, as a schema reads it.
    pub fn as_cell(&self) -> Cell<'_> {
        match self {
            Self::Missing => Cell::Missing,
            Self::Number(number) => Cell::Number(*number),
            Self::Text(text) => Cell::Text(text),
        }
    }
}

// === impl Notation ===

impl Notation {
    /// The notation of programs.
    pub const PLAIN: Self = notation('.', None);

    /// The notation of a file.
    pub fn of(format: &CsvFormat) -> Self {
        Self {
            decimal: format.decimal.chars().next().unwrap_or('.'),
            thousands: format.thousands.as_ref().and_then(|text| text.chars().next()),
        }
    }

    /// The finite number in a text.
    pub fn number(self, text: &str) -> Option<f64> {
        if self == Self::PLAIN {
            number(text)
        } else {
            number(&self.plain(text)?)
        }
    }

    /// The number in a text as programs write it; `None` if there is none.
    pub fn plain(self, text: &str) -> Option<Cow<'_, str>> {
        let (sign, unsigned) = strip_sign(text);
        if self == Self::PLAIN {
            number(text)?;
            return Some(if text.starts_with('\u{2212}') {
                format!("-{unsigned}").into()
            } else {
                text.into()
            });
        }
        let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
            Some(at) => unsigned.split_at(at),
            None => (unsigned, ""),
        };
        let (whole, fraction) = match mantissa.split_once(self.decimal) {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (mantissa, None),
        };
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if fraction.is_some_and(|fraction| !is_digits(fraction)) {
            return None;
        }
        let whole = self.ungrouped(whole)?;
        let point = if fraction.is_some() { "." } else { "" };
        let plain = format!("{sign}{whole}{point}{}{exponent}", fraction.unwrap_or_default());
        number(&plain).map(|_| plain.into())
    }

    /// The digits of a whole number without what is between their groups. The last group has three digits, the others have two or
    /// three (as in India), the first one to three.
    fn ungrouped(self, whole: &str) -> Option<String> {
        let is_separator = |letter: char| match self.thousands {
            Some(' ') => matches!(letter, ' ' | '\u{a0}' | '\u{202f}' | '\u{2009}'),
            Some('\'') => matches!(letter, '\'' | '\u{2019}'),
            Some(other) => letter == other,
            None => false,
        };
        let groups: Vec<&str> = whole.split(is_separator).collect();
        let count = groups.len();
        let fits = |(at, group): (usize, &&str)| match (at, group.len()) {
            _ if !group.bytes().all(|byte| byte.is_ascii_digit()) => false,
            (0, digits) if count > 1 => (1..=3).contains(&digits),
            (0, _) => true,
            (at, digits) if at + 1 == count => digits == 3,
            (_, digits) => digits == 2 || digits == 3,
        };
        groups.iter().enumerate().all(fits).then(|| groups.concat())
    }

    /// What a file of this notation calls missing. A number in the list is one of the file: its plain form stands for it in requests, and
    /// alone if its text is another number there (`-1.000` is -1000 in a file whose thousands have points).
    pub fn missing(self, texts: &[String]) -> Missing {
        if self == Self::PLAIN {
            return Missing::new(texts);
        }
        let mut all = Vec::with_capacity(texts.len());
        for text in texts {
            let text = text.trim();
            let plain = self.plain(text).filter(|plain| number(plain) != number(text));
            if plain.is_none() || number(text).is_none() {
                all.push(text.to_owned());
            }
            all.extend(plain.map(Cow::into_owned));
        }
        Missing::new(all)
    }

    /// Whether a text of a file means "missing". A number does by its value in this notation: with points between thousands, `-1.000` is
    /// not -1.
    pub fn is_missing(self, text: &str, missing: &Missing) -> bool {
        if self == Self::PLAIN || missing.is_empty() {
            return missing.has_text(text);
        }
        match self.number(text) {
            Some(number) => missing.has_number(number),
            None => missing.has_text(text),
        }
    }

    /// The canonical category of a text; for a number, that of its plain form.
    pub fn category(self, text: &str) -> Cow<'_, str> {
        if self == Self::PLAIN && !text.starts_with('\u{2212}') {
            return canonical_category(text);
        }
        match self.plain(text) {
            Some(Cow::Owned(plain)) => Cow::Owned(canonical_category(&plain).into_owned()),
            _ => canonical_category(text),
        }
    }

    /// How the spec sets it, such as `csv.decimal: ","`.
    pub fn remedy(self) -> String {
        let thousands = self
            .thousands
            .map(|separator| format!("csv.thousands: {:?}", separator.to_string()));
        let decimal = (self.decimal != '.').then(|| format!("csv.decimal: {:?}", self.decimal.to_string()));
        let parts: Vec<String> = decimal.into_iter().chain(thousands).collect();
        parts.join(" and ")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_plain_and_finite() {
        assert_eq!(number("-1.5e2"), Some(-150.0));
        assert_eq!(number("+7"), Some(7.0));
        assert_eq!(number(".5"), Some(0.5));
        assert_eq!(number("\u{2212}5"), Some(-5.0));
        for text in [
            "", "NaN", "inf", "infinity", "1e999", "0x10", "1_000", "1,5", "e", "٣",
        ] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn a_notation_reads_its_own_numbers_and_no_others() {
        let comma = notation(',', None);
        let german = notation(',', Some('.'));
        let french = notation(',', Some(' '));
        let swiss = notation('.', Some('\''));
        let english = notation('.', Some(','));
        for (notation, text, expected) in [
            (comma, "9336,00", Some(9336.0)),
            (comma, "-,5", Some(-0.5)),
            (comma, "1,5e3", Some(1500.0)),
            (comma, "12", Some(12.0)),
            (comma, "1.5", None),
            (comma, "1,5,2", None),
            (german, "1.036,58", Some(1036.58)),
            (german, "1036,58", Some(1036.58)),
            (german, "1.03,58", None),
            (german, "\u{2212}1.234.567", Some(-1_234_567.0)),
            (french, "1\u{202f}036,58", Some(1036.58)),
            (french, "12\u{a0}345", Some(12345.0)),
            (swiss, "1'036.5", Some(1036.5)),
            (swiss, "1\u{2019}036.5", Some(1036.5)),
            (english, "12,34,567", Some(1_234_567.0)),
            (english, ",123", None),
            (english, "1,23", None),
            (english, "1,234,", None),
            (notation('.', Some('_')), "1_000", Some(1000.0)),
        ] {
            assert_eq!(notation.number(text), expected, "{notation:?} {text}");
        }
        assert_eq!(german.category("1.000,50"), "1000.5");
        assert_eq!(german.category("pro"), "pro");
        assert_eq!(Notation::PLAIN.category("\u{2212}5.0"), "-5");
        assert_eq!(Notation::PLAIN.category("+12"), "12");
        assert_eq!(comma.category(",5"), "0.5");
    }

    #[test]
    fn a_number_means_missing_by_its_value_in_the_notation_of_the_file() {
        let german = notation(',', Some('.'));
        let of = |text: &str| german.missing(&[text.to_owned()]);
        for (listed, cell, expected) in [
            ("-1", "-1", true),
            ("-1", "-1,0", true),
            ("-1", "-1.000", false),
            ("9", "9.000", false),
            ("9.000", "9.000", true),
            ("9.000", "9000", true),
            ("9.000", "9", false),
            ("-999,0", "-999", true),
            ("-99.9", "-99,9", true),
            ("k.A.", "k.A.", true),
            ("-1", "", true),
        ] {
            assert_eq!(german.is_missing(cell, &of(listed)), expected, "{listed} {cell}");
        }
        // A request has plain numbers.
        assert_eq!(of("-1").texts(), ["-1"]);
        assert_eq!(of("9.000").texts(), ["9000"]);
        assert_eq!(of("-999,0").texts(), ["-999,0", "-999.0"]);
        assert!(Notation::PLAIN.is_missing("-1.000", &Missing::new(["-1"])));
    }

    #[test]
    fn a_cell_is_read_for_a_model_as_training_reads_it() {
        let comma = notation(',', None);
        let codes = FeatureKind::Categorical {
            categories: ["01067", "0.5", "1.5e3", "9007199254740993", "9"]
                .map(str::to_owned)
                .to_vec(),
        };
        let amount = FeatureKind::Numeric { min: None, max: None };
        let missing = comma.missing(&["9".to_owned(), "k.A.".to_owned()]);
        for (text, expected) in [
            ("01067", "01067"),
            (",5", "0.5"),
            ("1,5e3", "1.5e3"),
            ("9007199254740993", "9007199254740993"),
            // A category of the model, as in a request.
            ("9", "9"),
        ] {
            let read = read_cell(&codes, text, comma, &missing);
            assert_eq!(read, FileCell::Text(expected.into()), "{text}");
        }
        assert_eq!(read_cell(&codes, "k.A.", comma, &missing), FileCell::Missing);
        assert_eq!(read_cell(&amount, "9,0", comma, &missing), FileCell::Missing);
        let number = read_cell(&amount, "1,5", comma, &missing);
        assert_eq!(number, FileCell::Number(1.5));
        assert_eq!(number.as_cell(), Cell::Number(1.5));
        let word = read_cell(&amount, "1.5", comma, &missing);
        assert_eq!(word.as_cell(), Cell::Text("1.5"));
    }

    #[test]
    fn other_notations_are_recognised_with_what_is_in_the_way() {
        let remedies = |text: &str| {
            let guess = guess(text)?;
            let read = NOTATIONS
                .iter()
                .enumerate()
                .filter(|(bit, _)| guess.notations >> bit & 1 == 1);
            Some((
                guess.mark,
                read.map(|(_, notation)| notation.remedy()).collect::<Vec<_>>(),
            ))
        };
        let first = |text: &str| {
            remedies(text).map(|(mark, read)| (mark, read.into_iter().next().unwrap_or_default()))
        };
        assert_eq!(first("9336,00"), Some((None, r#"csv.decimal: ",""#.into())));
        assert_eq!(first("1,036.58"), Some((None, r#"csv.thousands: ",""#.into())));
        assert_eq!(
            first("1.036,58"),
            Some((None, r#"csv.decimal: "," and csv.thousands: ".""#.into()))
        );
        assert_eq!(first("1_000"), Some((None, r#"csv.thousands: "_""#.into())));
        assert_eq!(
            first("$1,036.58"),
            Some((Some(Mark::Currency), r#"csv.thousands: ",""#.into()))
        );
        assert_eq!(
            first("-12,50 €"),
            Some((Some(Mark::Currency), r#"csv.decimal: ",""#.into()))
        );
        assert_eq!(remedies("76.7%").unwrap().0, Some(Mark::Percent));
        assert_eq!(remedies("0x1F").unwrap().0, Some(Mark::Hexadecimal));
        for text in ["-inf", "1.#INF", "1e309", "-1E+99999999"] {
            assert_eq!(remedies(text).unwrap().0, Some(Mark::Infinite), "{text}");
        }
        for text in [
            "pro",
            "2026-01-05",
            "05.01.2026",
            "10.0.0.1",
            "1-2",
            "B12",
            "v1.0",
            "12:30",
            "",
            "EUR",
            "1.2.3",
        ] {
            assert_eq!(remedies(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,20}|[-+0-9.,' _e$%€\u{a0}\u{2212}]{0,12}") {
            guess(&text);
            for notation in NOTATIONS {
                let plain = notation.plain(&text);
                prop_assert_eq!(plain.as_deref().and_then(number), notation.number(&text));
                notation.category(&text);
            }
        }

        #[test]
        fn a_number_that_is_written_in_a_notation_is_read_back(whole in 0_u32.., cents in 0_u8..100) {
            let digits = whole.to_string();
            let mut grouped = String::new();
            for (at, digit) in digits.chars().enumerate() {
                if at > 0 && (digits.len() - at) % 3 == 0 { grouped.push('.'); }
                grouped.push(digit);
            }
            let german = Notation { decimal: ',', thousands: Some('.') };
            let expected: f64 = format!("{whole}.{cents:02}").parse().unwrap();
            prop_assert_eq!(german.number(&format!("{grouped},{cents:02}")), Some(expected));
        }
    }
}
