//! Errors in one line.

use std::error::Error;

/// An error and its sources, joined by colons, for a log, a condition or a response.
///
/// A source is omitted if the text already ends with it, because some libraries include the source in their own text.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    #[derive(Debug)]
    struct Layer(&'static str, Option<Box<Self>>);

    impl fmt::Display for Layer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Layer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            let source = self.1.as_deref()?;
            Some(source)
        }
    }

    fn layers(texts: &[&'static str]) -> Layer {
        let below = |below, text: &&'static str| Some(Box::new(Layer(text, below)));
        *texts.iter().rev().fold(None, below).unwrap()
    }

    #[test]
    fn causes_are_joined_and_one_that_was_said_at_the_end_is_left_out() {
        assert_eq!(chain(&layers(&["a", "b", "c"])), "a: b: c");
        assert_eq!(
            chain(&layers(&["cannot read: gone", "gone", "os"])),
            "cannot read: gone: os"
        );
        // In the middle of a text, the same words may mean something else.
        assert_eq!(
            chain(&layers(&["no time was left", "time"])),
            "no time was left: time"
        );
    }
}
