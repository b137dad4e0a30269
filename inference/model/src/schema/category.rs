//! The canonical form of a category.

use std::borrow::Cow;

/// The canonical form of a category: without surrounding white space, and a decimal number without trailing zeros.
///
/// `1`, `1.0` and ` 1.00` are `1`; `-0.0` is `0`; `2.50` is `2.5`. Leading zeros stay (`007` is a code, not 7), as does
/// everything that is not plain digits (`1e3`).
pub fn canonical_category(text: &str) -> Cow<'_, str> {
    let text = text.trim();
    let digits = text.strip_prefix('-').unwrap_or(text);
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    if !all_digits(whole) || !all_digits(fraction) {
        return Cow::Borrowed(text);
    }
    let short = if digits.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        text
    };
    // "-0.0" is "-0" here.
    if short == "-0" {
        Cow::Borrowed("0")
    } else {
        Cow::Borrowed(short)
    }
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
