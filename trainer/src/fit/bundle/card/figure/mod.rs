//! The figures of the card, as SVG in the page: no script, no other file. Colours are those of the reader's light or dark page.

mod calibration;
mod confusion;
mod estimates;
mod importance;
mod plot;
mod precision_recall;
mod roc;
mod svg;

pub(super) use self::{
    calibration::calibration,
    confusion::confusion,
    estimates::estimates,
    importance::{SHOWN, importance},
    precision_recall::precision_recall,
    roc::roc,
};

/// The class of the colour of a candidate: the selected one is the same on every card.
fn colour(at: usize, selected: usize) -> String {
    let of_others = if at > selected { at } else { at + 1 };
    let number = if at == selected {
        0
    } else {
        1 + (of_others - 1) % 4
    };
    format!("f{number}")
}

/// The class of a candidate's line: the selected one is drawn strongly.
fn stroke(at: usize, selected: usize) -> String {
    let weight = if at == selected { "strong" } else { "faint" };
    format!("curve {weight} {}", colour(at, selected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_selected_candidate_has_the_first_colour_and_others_differ() {
        let colours: Vec<String> = (0..4).map(|at| colour(at, 2)).collect();
        assert_eq!(colours, ["f1", "f2", "f0", "f3"]);
        let colours: Vec<String> = (0..5).map(|at| colour(at, 4)).collect();
        assert_eq!(colours, ["f1", "f2", "f3", "f4", "f0"]);
    }
}
