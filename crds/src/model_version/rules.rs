//! Patterns and messages of validation rules, and defaults, that several parts of the spec use.

use modelward_wire::Decimal;

/// The pattern of a number, and the message for an invalid one.
pub(super) const IS_NUMBER: &str = "self.matches('^-?[0-9]{1,12}([.][0-9]{1,12})?$')";
pub(super) const NUMBER: &str =
    "write a decimal number in quotes, such as \"-0.5\", with at most 12 digits on each side of the point";

/// The pattern of a share, and the message for an invalid one.
pub(super) const IS_SHARE: &str = "self.matches('^(0([.][0-9]{1,12})?|1([.]0{1,12})?)$')";
pub(super) const SHARE: &str =
    "write a decimal number from 0 to 1 in quotes, such as \"0.5\"; percent signs are not allowed";

/// The pattern of a share above 0, and the message for an invalid one.
pub(super) const IS_POSITIVE_SHARE: &str =
    "self.matches('^(0[.][0-9]{1,12}|1([.]0{1,12})?)$') && !self.matches('^0[.]0+$')";
pub(super) const POSITIVE_SHARE: &str = "write a decimal number above 0 and at most 1 in quotes, such as \"0.1\"; percent signs and exponents are not allowed";

/// The pattern of an amount, and the message for an invalid one.
pub(super) const IS_AMOUNT: &str = "self.matches('^[0-9]{1,9}([.][0-9]{1,12})?$')";
pub(super) const AMOUNT: &str =
    "write a decimal number of at least 0 in quotes, such as \"0.001\"; exponents are not allowed";

/// The pattern of an amount above 0, and the message for an invalid one.
pub(super) const IS_POSITIVE: &str =
    "self.matches('^[0-9]{1,9}([.][0-9]{1,12})?$') && !self.matches('^0+([.]0*)?$')";
pub(super) const POSITIVE: &str =
    "write a decimal number above 0 in quotes, such as \"0.5\"; exponents are not allowed";

/// The pattern of a margin, and the message for an invalid one.
pub(super) const IS_MARGIN: &str = "self.matches('^0([.][0-9]{1,12})?$')";
pub(super) const MARGIN: &str =
    "write a decimal number from 0 and below 1 in quotes, such as \"0.02\"; percent signs are not allowed";

pub(super) fn default_true() -> bool {
    true
}

pub(super) fn default_margin() -> Decimal {
    decimal("0.03")
}

pub(super) fn decimal(text: &'static str) -> Decimal {
    // A constant of this folder. A test parses each of them.
    text.parse()
        .unwrap_or_else(|_| unreachable!("{text} is a decimal number"))
}
