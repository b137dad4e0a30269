//! The canonical form of a category.

use std::borrow::Cow;

/// The canonical form of a category: without surrounding white space, and a decimal number as digits without trailing zeros.
///
/// `1`, `1.0`, `+1` and ` 1.00` are `1`; `-0.0` is `0`; `2.50` is `2.5`; `.5` is `0.5`; `1e+05` is `100000`. Leading zeros stay
/// (`007` is a code, not 7), and so does an exponent without a sign: programs write `1e+03`, and `1e3` may be a code.
pub fn canonical_category(text: &str) -> Cow<'_, str> {
    let text = text.trim();
    match shorten(text) {
        Some(short) => Cow::Borrowed(short),
        None => respell(text).map_or(Cow::Borrowed(text), Cow::Owned),
    }
}

/// Whether a model may have this category: in its one spelling, or as a number that earlier versions did not respell (`.5`, `+5`, `1e+05`).
pub(super) fn is_category(word: &str) -> bool {
    word.trim() == word && shorten(word).is_none_or(|short| short == word)
}

/// Digits, with a point or without, without zeros at the end of the decimals. None for other texts.
fn shorten(text: &str) -> Option<&str> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    if !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let short = if digits.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        text
    };
    // "-0.0" has lost its point by now.
    Some(if short == "-0" { "0" } else { short })
}

/// A number that has no digit on one side of its point, a plus, or an exponent with a sign, as digits. None for other texts.
fn respell(text: &str) -> Option<String> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => unsigned.split_at(at),
        None => (unsigned, ""),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let are_digits = |part: &str| part.is_empty() || is_digits(part);
    let is_code = whole.len() > 1 && whole.starts_with('0');
    if !are_digits(whole) || !are_digits(fraction) || is_code || whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let sign = if text.starts_with('-') { "-" } else { "" };
    if exponent.is_empty() {
        let whole = if whole.is_empty() { "0" } else { whole };
        let fraction = if fraction.is_empty() { "0" } else { fraction };
        return shorten(&format!("{sign}{whole}.{fraction}")).map(str::to_owned);
    }
    let power = exponent.strip_prefix(['e', 'E'])?.strip_prefix(['+', '-'])?;
    if !is_digits(power) {
        return None;
    }
    let number: f64 = format!("{sign}{mantissa}{exponent}").parse().ok()?;
    number
        .is_finite()
        .then(|| double_category(number + 0.0).into_owned())
}

fn is_digits(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
}

/// The canonical category of a finite number.
pub(super) fn double_category(number: f64) -> Cow<'static, str> {
    // Codes are usually small. The most common ones need no allocation.
    const SMALL: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    if number.fract() == 0.0
        && (0.0..10.0).contains(&number)
        && let Some(text) = SMALL.get(number as usize)
    {
        return Cow::Borrowed(text);
    }
    // `{}` writes no exponent and no trailing ".0".
    Cow::Owned(number.to_string())
}

/// The same for 32 bits: the shortest text of 0.1 as an `f32` is `0.1`, but `0.10000000149011612` as a double.
pub(super) fn single_category(number: f32) -> Cow<'static, str> {
    if number.fract() == 0.0 {
        double_category(f64::from(number))
    } else {
        Cow::Owned(number.to_string())
    }
}

/// The category of a boolean, if the categories are boolean values.
pub(super) fn bool_category(categories: &[String], value: bool) -> Option<&str> {
    let word = if value { "true" } else { "false" };
    if let Some(known) = truth_category(categories, word) {
        return Some(known);
    }
    if categories.iter().any(|category| is_truth(category)) {
        // If the training data has only one of the two, the other is an unknown category, not a wrong type.
        return Some(word);
    }
    let letter = if value { "t" } else { "f" };
    let letters =
        |category: &String| category.eq_ignore_ascii_case("t") || category.eq_ignore_ascii_case("f");
    if categories.len() == 2 && categories.iter().all(letters) {
        return find_ignoring_case(categories, letter);
    }
    let digits = !categories.is_empty()
        && categories
            .iter()
            .all(|category| category == "0" || category == "1");
    digits.then_some(if value { "1" } else { "0" })
}

/// The category that equals a word `true` or `false`, ignoring case.
pub fn truth_category<'a>(categories: &'a [String], word: &str) -> Option<&'a str> {
    is_truth(word)
        .then(|| find_ignoring_case(categories, word))
        .flatten()
}

/// Whether a word is `true` or `false`, ignoring case. Servers read all spellings of each as one category.
pub fn is_truth(word: &str) -> bool {
    word.eq_ignore_ascii_case("true") || word.eq_ignore_ascii_case("false")
}

fn find_ignoring_case<'a>(categories: &'a [String], word: &str) -> Option<&'a str> {
    let mut known = categories.iter().map(String::as_str);
    known.find(|known| known.eq_ignore_ascii_case(word))
}
