//! Enums whose variants have a text: the words of the API, of records and of metrics.
//!
//! [`words!`](crate::words) declares such an enum. The declaration generates its texts, list, parser and JSON, so none of them can
//! miss a new variant.

use core::{fmt, marker::PhantomData};

use serde::de;

/// The interface of every enum of [`words!`](crate::words), for generic code: schemas, tables in the documentation, tests.
pub trait Word: Copy + Eq + 'static {
    /// Name of the enum.
    const NOUN: &'static str;
    /// All variants, in the order of the declaration.
    const WORDS: &'static [Self];
    /// The texts, in the same order.
    const TEXTS: &'static [&'static str];

    /// The text in the API, records and metrics.
    fn text(self) -> &'static str;

    /// The variant with this text.
    fn find(text: &str) -> Option<Self> {
        Self::WORDS.iter().copied().find(|word| word.text() == text)
    }
}

/// A text that is not one of the enum's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownWord {
    /// Name of the enum.
    pub noun: &'static str,
    /// The text.
    pub text: String,
    /// The texts of the enum.
    pub known: &'static [&'static str],
}

// === impl UnknownWord ===

impl fmt::Display for UnknownWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { noun, text, known } = self;
        write!(f, "unknown {noun} {text:?}, expected one of {}", known.join(", "))
    }
}

impl core::error::Error for UnknownWord {}

/// Declares enums whose variants have a text: the variant's name, or the text after `=`.
///
/// An enum can name a larger enum after a colon. The compiler checks that each of its variants is a variant of the larger enum.
/// `From` converts to the larger enum, and `part_of` converts back.
///
/// ```
/// modelward_wire::words! {
///     /// How a step ended.
///     pub enum Outcome { Succeeded, Rejected, Expired }
///     /// Outcomes that a user caused.
///     pub enum Caused: Outcome { Rejected }
/// }
/// assert_eq!(Outcome::Succeeded.as_str(), "Succeeded");
/// assert_eq!("Expired".parse(), Ok(Outcome::Expired));
/// assert_eq!(Outcome::from(Caused::Rejected), Outcome::Rejected);
/// assert_eq!(Caused::part_of(Outcome::Expired), None);
/// ```
#[macro_export]
macro_rules! words {
    ($($(#[$meta:meta])* $vis:vis enum $name:ident $(: $whole:ident)? {
        $($(#[$variant_meta:meta])* $variant:ident $(= $text:literal)?),+ $(,)?
    })+) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        $vis enum $name { $($(#[$variant_meta])* $variant),+ }

        #[allow(dead_code, reason = "not every set is listed or parsed")]
        impl $name {
            /// The texts, in the order of the declaration.
            pub const NAMES: [&'static str; [$(stringify!($variant)),+].len()] =
                [$($crate::words!(@text $variant $($text)?)),+];
            /// All variants, in the order of the declaration.
            pub const ALL: [Self; Self::NAMES.len()] = [$(Self::$variant),+];

            /// The text in the API, records and metrics.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $crate::words!(@text $variant $($text)?)),+ }
            }

            /// The variant with this text.
            pub fn of(text: &str) -> ::core::option::Option<Self> {
                <Self as $crate::Word>::find(text)
            }
        }

        impl $crate::Word for $name {
            const NOUN: &'static str = stringify!($name);
            const WORDS: &'static [Self] = &<$name>::ALL;
            const TEXTS: &'static [&'static str] = &<$name>::NAMES;

            fn text(self) -> &'static str {
                self.as_str()
            }
        }

        impl ::core::fmt::Display for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl ::core::str::FromStr for $name {
            type Err = $crate::UnknownWord;

            fn from_str(text: &str) -> ::core::result::Result<Self, Self::Err> {
                $crate::__words::parse(text)
            }
        }

        impl $crate::__words::Serialize for $name {
            fn serialize<S: $crate::__words::Serializer>(
                &self,
                serializer: S,
            ) -> ::core::result::Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> $crate::__words::Deserialize<'de> for $name {
            fn deserialize<D: $crate::__words::Deserializer<'de>>(
                deserializer: D,
            ) -> ::core::result::Result<Self, D::Error> {
                $crate::__words::read(deserializer)
            }
        }

        $crate::words!(@part [$($whole)?] $name [$($variant)+]);
    )+};
    (@text $variant:ident) => { stringify!($variant) };
    (@text $variant:ident $text:literal) => { $text };
    (@part [] $name:ident [$($variant:ident)+]) => {};
    (@part [$whole:ident] $name:ident [$($variant:ident)+]) => {
        impl ::core::convert::From<$name> for $whole {
            fn from(word: $name) -> Self {
                match word { $($name::$variant => Self::$variant),+ }
            }
        }

        impl $name {
            /// The variant that corresponds to this variant of the larger enum.
            pub fn part_of(whole: $whole) -> ::core::option::Option<Self> {
                Self::ALL.into_iter().find(|word| $whole::from(*word) == whole)
            }
        }
    };
}

/// Functions that the code of the macro calls.
#[doc(hidden)]
pub mod __words {
    pub use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{PhantomData, UnknownWord, Visitor, Word};

    pub fn parse<W: Word>(text: &str) -> Result<W, UnknownWord> {
        W::find(text).ok_or_else(|| UnknownWord {
            noun: W::NOUN,
            text: text.to_owned(),
            known: W::TEXTS,
        })
    }

    pub fn read<'de, W: Word, D: Deserializer<'de>>(deserializer: D) -> Result<W, D::Error> {
        deserializer.deserialize_str(Visitor(PhantomData))
    }
}

struct Visitor<W>(PhantomData<W>);

impl<W: Word> de::Visitor<'_> for Visitor<W> {
    type Value = W;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "one of {}", W::TEXTS.join(", "))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<W, E> {
        W::find(text).ok_or_else(|| E::unknown_variant(text, W::TEXTS))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    crate::words! {
        /// Signals of a crossing.
        #[derive(PartialOrd, Ord)]
        enum Signal {
            /// Stop.
            Red,
            Amber = "flashing amber",
            Green,
        }
        /// Signals at which a car stops.
        enum Standing: Signal { Red, Amber = "amber" }
    }

    #[test]
    fn a_word_is_its_text_in_json_in_words_and_as_a_key() {
        assert_eq!(Signal::NAMES, ["Red", "flashing amber", "Green"]);
        assert_eq!(format!("{:>6}", Signal::Red), "   Red");
        let written = serde_json::to_string(&BTreeMap::from([(Signal::Amber, Signal::ALL)])).unwrap();
        assert_eq!(written, r#"{"flashing amber":["Red","flashing amber","Green"]}"#);
        let read: BTreeMap<Signal, [Signal; 3]> = serde_json::from_str(&written).unwrap();
        assert_eq!(read[&Signal::Amber], Signal::ALL);
    }

    #[test]
    fn an_unknown_text_is_refused_with_the_texts_that_are_known() {
        let known = "flashing amber";
        assert_eq!(Signal::of(known), Some(Signal::Amber));
        let refused = "Amber".parse::<Signal>().unwrap_err().to_string();
        assert_eq!(
            refused,
            "unknown Signal \"Amber\", expected one of Red, flashing amber, Green"
        );
        let refused = serde_json::from_str::<Signal>("\"Amber\"")
            .unwrap_err()
            .to_string();
        assert!(
            refused.starts_with("unknown variant `Amber`, expected one of `Red`, `flashing amber`, `Green`"),
            "{refused}"
        );
        let refused = serde_json::from_str::<Signal>("7").unwrap_err().to_string();
        assert!(refused.contains("expected one of Red"), "{refused}");
    }

    #[test]
    fn a_part_leads_to_its_whole_and_back() {
        assert_eq!(Signal::from(Standing::Amber), Signal::Amber);
        assert_eq!(Standing::part_of(Signal::Red), Some(Standing::Red));
        assert_eq!(Standing::part_of(Signal::Green), None);
        assert_eq!(Standing::Amber.text(), "amber");
    }
}
