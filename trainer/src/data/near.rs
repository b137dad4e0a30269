//! The name that was probably meant.

/// The one of `names` that is closest to `wrong`, if it is close enough to be a typo.
pub fn nearest<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let folded = fold(wrong);
    let most = (folded.chars().count() / 3).max(1);
    let near = |name: &&'a str| {
        let distance = distance(&folded, &fold(name), most);
        distance.filter(|_| *name != wrong)
    };
    names
        .filter(|name| !name.is_empty())
        .filter_map(|name| near(&name).map(|distance| (distance, name)))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// The question to ask, or nothing.
pub fn did_you_mean<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> String {
    nearest(wrong, names).map_or_else(String::new, |name| {
        format!("; did you mean {:?}?", crate::data::violation::cut(name, 60))
    })
}

/// Without case, blanks and separators, which are mistaken most often.
fn fold(name: &str) -> String {
    name.trim()
        .chars()
        .take(200)
        .map(|c| if matches!(c, ' ' | '-' | '.') { '_' } else { c })
        .flat_map(char::to_lowercase)
        .collect()
}

/// The number of letters to insert, remove, replace or swap, if it is at most `most`.
fn distance(a: &str, b: &str, most: usize) -> Option<usize> {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) > most {
        return None;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut least = (last[j] + usize::from(x != y))
                .min(last[j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().filter(|distance| *distance <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_the_name_that_was_meant_and_another_word_finds_none() {
        let names = ["age", "chol", "resting bp", "thalach"];
        let found = |wrong| nearest(wrong, names.into_iter());
        assert_eq!(found("Age"), Some("age"));
        assert_eq!(found("chlo"), Some("chol"));
        assert_eq!(found("resting_bp"), Some("resting bp"));
        assert_eq!(found("thalac"), Some("thalach"));
        assert_eq!(found("income"), None);
        assert_eq!(found(""), None);
        assert_eq!(did_you_mean("chl", names.into_iter()), "; did you mean \"chol\"?");
    }
}
