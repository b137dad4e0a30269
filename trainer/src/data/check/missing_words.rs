//! Words that usually mean "missing".

/// How sure it is that a word means "missing".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Usual {
    /// Programs write it: pandas, R, SQL, spreadsheets.
    Always,
    /// People write it, and it may be a category.
    Often,
}

/// What pandas reads as missing and what R, SQL and spreadsheets write, and marks that people use. In lower case.
const ALWAYS: [&str; 23] = [
    "na", "n/a", "n.a.", "<na>", "#na", "#n/a", "#n/a n/a", "nan", "-nan", "null", "#null!", "nil", "none",
    "missing", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan", "-", "--", "?", ".", "\\n",
];

/// Words that are as often a category.
const OFTEN: [&str; 8] = [
    "unknown",
    "not available",
    "not applicable",
    "not known",
    "undefined",
    "#value!",
    "#ref!",
    "#div/0!",
];

/// Whether a word is a usual spelling of "missing", in any case.
pub(super) fn usual_spelling(word: &str) -> Option<Usual> {
    // Nearly all cells are longer, or begin otherwise.
    if word.len() > 16 {
        return None;
    }
    let is = |known: &str| known.eq_ignore_ascii_case(word);
    if ALWAYS.iter().any(|known| is(known)) {
        Some(Usual::Always)
    } else {
        OFTEN.iter().any(|known| is(known)).then_some(Usual::Often)
    }
}
