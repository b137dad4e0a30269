//! A drawing as SVG text. Colours and strokes are classes of the page's style; every text is escaped here.

use std::fmt::Write as _;

/// A drawing that grows by elements. Coordinates are pixels from the upper left corner.
#[derive(Debug)]
pub(super) struct Svg {
    width: f64,
    height: f64,
    title: String,
    description: String,
    body: String,
}

/// The position of a text relative to its point.
#[derive(Clone, Copy, Debug)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

// === impl Svg ===

impl Svg {
    /// An empty drawing. Title and description are what a screen reader says.
    pub(super) fn new(width: f64, height: f64, title: &str, description: &str) -> Self {
        Self {
            width,
            height,
            title: title.to_owned(),
            description: description.to_owned(),
            body: String::new(),
        }
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        let (x1, y1, x2, y2) = (number(from.0), number(from.1), number(to.0), number(to.1));
        let _ = writeln!(
            self.body,
            r#"<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" class="{class}"/>"#
        );
    }

    pub(super) fn polyline(&mut self, points: impl Iterator<Item = (f64, f64)>, class: &str) {
        let points: Vec<String> = points
            .map(|(x, y)| format!("{},{}", number(x), number(y)))
            .collect();
        let _ = writeln!(
            self.body,
            r#"<polyline points="{}" class="{class}"/>"#,
            points.join(" ")
        );
    }

    /// A rectangle by its upper left corner; `opacity` of its fill from 0 to 1.
    pub(super) fn rect(&mut self, at: (f64, f64), size: (f64, f64), class: &str, opacity: f64) {
        let (x, y, width, height) = (
            number(at.0),
            number(at.1),
            number(size.0.max(0.0)),
            number(size.1.max(0.0)),
        );
        let _ = writeln!(
            self.body,
            r#"<rect x="{x}" y="{y}" width="{width}" height="{height}" class="{class}" fill-opacity="{opacity:.2}"/>"#
        );
    }

    pub(super) fn circle(&mut self, at: (f64, f64), radius: f64, class: &str) {
        let (x, y, radius) = (number(at.0), number(at.1), number(radius));
        let _ = writeln!(
            self.body,
            r#"<circle cx="{x}" cy="{y}" r="{radius}" class="{class}"/>"#
        );
    }

    pub(super) fn text(&mut self, at: (f64, f64), anchor: Anchor, text: &str) {
        self.styled_text(at, anchor, "", text);
    }

    pub(super) fn styled_text(&mut self, at: (f64, f64), anchor: Anchor, class: &str, text: &str) {
        let (x, y, anchor, text) = (number(at.0), number(at.1), anchor.as_str(), escape(text));
        let class = if class.is_empty() {
            String::new()
        } else {
            format!(r#" class="{class}""#)
        };
        let _ = writeln!(
            self.body,
            r#"<text x="{x}" y="{y}" text-anchor="{anchor}"{class}>{text}</text>"#
        );
    }

    /// A text that is read upwards.
    pub(super) fn vertical_text(&mut self, at: (f64, f64), text: &str) {
        let (x, y, text) = (number(at.0), number(at.1), escape(text));
        let _ = writeln!(
            self.body,
            r#"<text x="{x}" y="{y}" text-anchor="middle" transform="rotate(-90 {x} {y})">{text}</text>"#
        );
    }

    /// A text of at most `most` characters; a tooltip shows the whole text.
    pub(super) fn label(&mut self, at: (f64, f64), anchor: Anchor, most: usize, text: &str) {
        let (x, y, anchor, short) = (number(at.0), number(at.1), anchor.as_str(), shorten(text, most));
        let whole = if short == text {
            String::new()
        } else {
            format!("<title>{}</title>", escape(text))
        };
        let short = escape(&short);
        let _ = writeln!(
            self.body,
            r#"<text x="{x}" y="{y}" text-anchor="{anchor}">{short}{whole}</text>"#
        );
    }

    /// The element. `key` makes the ids of the page differ.
    pub(super) fn finish(self, key: &str) -> String {
        let Self {
            width,
            height,
            title,
            description,
            body,
        } = self;
        let (width, height) = (number(width), number(height));
        format!(
            "<svg viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\" aria-labelledby=\"{key}-t {key}-d\">\n\
             <title id=\"{key}-t\">{}</title>\n<desc id=\"{key}-d\">{}</desc>\n{body}</svg>",
            escape(&title),
            escape(&description)
        )
    }
}

// === impl Anchor ===

impl Anchor {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Middle => "middle",
            Self::End => "end",
        }
    }
}

/// A coordinate to a tenth of a pixel, always written alike: no negative zero.
fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" {
        "0".to_owned()
    } else {
        text.to_owned()
    }
}

/// A text as it may stand between tags and in quotes. Characters that XML does not have are replaced.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other if other.is_control() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

/// The text, or its beginning and its end with "…" between them: names of columns often differ at their ends. Characters of East Asian
/// scripts count twice.
pub(super) fn shorten(text: &str, most: usize) -> String {
    if columns(text) <= most {
        return text.to_owned();
    }
    let fit = |characters: &mut dyn Iterator<Item = char>, most: usize| {
        let mut used = 0;
        let fits = characters.take_while(|character| {
            used += wide(*character);
            used <= most
        });
        fits.collect::<Vec<char>>()
    };
    let end = fit(&mut text.chars().rev(), most.saturating_sub(1) / 3);
    let start = fit(
        &mut text.chars(),
        most.saturating_sub(1) - most.saturating_sub(1) / 3,
    );
    start
        .into_iter()
        .chain(std::iter::once('…'))
        .chain(end.into_iter().rev())
        .collect()
}

/// The width of a text, in characters of Latin scripts.
pub(super) fn columns(text: &str) -> usize {
    text.chars().map(wide).sum()
}

const fn wide(character: char) -> usize {
    if character >= '\u{1100}' { 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_keeps_its_beginning_and_its_end() {
        assert_eq!(shorten("age", 10), "age");
        assert_eq!(shorten("measured_pressure_left", 10), "measur…eft");
        assert_eq!(shorten("収縮期血圧の平均値", 10), "収縮期…値");
    }

    #[test]
    fn coordinates_are_written_alike_and_texts_cannot_leave_their_element() {
        assert_eq!([-0.04, 12.0, 3.26].map(number), ["0", "12", "3.3"]);
        let mut svg = Svg::new(10.0, 10.0, "<t>", "\"d\"");
        svg.label((1.0, 2.0), Anchor::End, 40, "</text><script>'\u{1}");
        let text = svg.finish("a");
        assert!(!text.contains("<script") && !text.contains('\u{1}'), "{text}");
        assert!(
            text.contains("&lt;t&gt;") && text.contains("&quot;d&quot;"),
            "{text}"
        );
    }
}
