//! What a column of a Parquet file holds, and its values as the text that a CSV file would have.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp, civil};
use parquet::{
    basic::{ConvertedType, LogicalType, TimeUnit, Type as Physical},
    data_type::Int96,
    schema::types::ColumnDescriptor,
};

/// What the values of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Signed,
    Unsigned,
    Single,
    Double,
    Decimal {
        scale: usize,
    },
    Text,
    Uuid,
    Date,
    Time(Unit),
    Timestamp {
        unit: Unit,
        utc: bool,
    },
    /// A timestamp of 96 bits, as Spark and Hive wrote it.
    Int96,
}

/// The unit of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Milli,
    Micro,
    Nano,
}

// === impl Kind ===

impl Kind {
    /// The kind of a column that is not nested, or what it holds that cannot be read.
    pub(super) fn of(column: &ColumnDescriptor) -> Result<Self, &'static str> {
        use Physical::{BOOLEAN, BYTE_ARRAY, DOUBLE, FIXED_LEN_BYTE_ARRAY, FLOAT, INT32, INT64, INT96};
        let scale = || match usize::try_from(column.type_scale()) {
            Ok(scale @ 0..=38) if column.type_precision() <= 38 => Ok(Self::Decimal { scale }),
            _ => Err("decimal numbers of more than 38 digits"),
        };
        match (column.physical_type(), Meaning::of(column)) {
            (_, Meaning::Other(what)) => Err(what),
            (BOOLEAN, Meaning::Plain) => Ok(Self::Bool),
            (INT32 | INT64, Meaning::Plain) => Ok(Self::Signed),
            (INT32 | INT64, Meaning::Unsigned) => Ok(Self::Unsigned),
            (INT96, Meaning::Plain) => Ok(Self::Int96),
            (FLOAT, Meaning::Plain) => Ok(Self::Single),
            (DOUBLE, Meaning::Plain) => Ok(Self::Double),
            (INT32 | INT64 | BYTE_ARRAY | FIXED_LEN_BYTE_ARRAY, Meaning::Decimal) => scale(),
            // Old writers do not say that bytes are text.
            (BYTE_ARRAY, Meaning::Text | Meaning::Plain) => Ok(Self::Text),
            (INT32, Meaning::Date) => Ok(Self::Date),
            (INT32 | INT64, Meaning::Time(unit)) => Ok(Self::Time(unit)),
            (INT64, Meaning::Timestamp(unit, utc)) => Ok(Self::Timestamp { unit, utc }),
            (FIXED_LEN_BYTE_ARRAY, Meaning::Uuid) if column.type_length() == 16 => Ok(Self::Uuid),
            (FIXED_LEN_BYTE_ARRAY, _) => Err("bytes"),
            _ => Err("values of a type that is not read"),
        }
    }

    pub(super) fn write_integer(self, text: &mut String, value: i64) -> Result<(), Unwritable> {
        match self {
            Self::Unsigned => push(text, value.cast_unsigned()),
            Self::Decimal { scale } => write_decimal(text, value.into(), scale),
            Self::Date => {
                let epoch = civil::date(1970, 1, 1);
                let days = SignedDuration::try_from_hours(value.saturating_mul(24));
                push(text, epoch.checked_add(days.ok_or(Unwritable::Time)?)?);
            }
            Self::Time(unit) => {
                let since =
                    SignedDuration::from_nanos(value.checked_mul(unit.nanos()).ok_or(Unwritable::Time)?);
                push(text, civil::Time::midnight().checked_add(since)?);
            }
            Self::Timestamp { unit, utc } => write_timestamp(text, value, unit, utc)?,
            _ => push(text, value),
        }
        Ok(())
    }

    pub(super) fn write_bytes(self, text: &mut String, bytes: &[u8]) -> Result<(), Unwritable> {
        match self {
            Self::Decimal { scale } => {
                let negative = bytes.first().is_some_and(|byte| *byte >= 0x80);
                let mut value = if negative { [0xff; 16] } else { [0; 16] };
                let at = value.len().checked_sub(bytes.len()).ok_or(Unwritable::Decimal)?;
                value[at..].copy_from_slice(bytes);
                write_decimal(text, i128::from_be_bytes(value), scale);
            }
            Self::Uuid => {
                let hex = hex::encode(bytes);
                let parts =
                    [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| hex.get(part).unwrap_or_default());
                text.push_str(&parts.join("-"));
            }
            // Blanks around a value do not count, as in CSV.
            _ => text.push_str(
                std::str::from_utf8(bytes)
                    .map_err(|_| Unwritable::NotUtf8)?
                    .trim(),
            ),
        }
        Ok(())
    }
}

pub(super) fn write_single(text: &mut String, value: f32) {
    if !value.is_nan() {
        push(text, value);
        write_fraction(text, value.fract() == 0.0);
    }
}

pub(super) fn write_double(text: &mut String, value: f64) {
    if !value.is_nan() {
        push(text, value);
        write_fraction(text, value.fract() == 0.0);
    }
}

/// A float stays one as text: `Display` writes 1 for 1.0, and never an exponent, which no category has.
fn write_fraction(text: &mut String, is_whole: bool) {
    if is_whole {
        text.push_str(".0");
    }
}

pub(super) fn write_int96(text: &mut String, value: &Int96) -> Result<(), Unwritable> {
    write_timestamp(text, value.to_nanos(), Unit::Nano, false)
}

/// As in RFC 3339; without an offset if the file does not say that it is UTC.
fn write_timestamp(text: &mut String, value: i64, unit: Unit, utc: bool) -> Result<(), Unwritable> {
    let nanos = i128::from(value) * i128::from(unit.nanos());
    let time = Timestamp::from_nanosecond(nanos)?;
    if utc {
        push(text, time);
    } else {
        push(text, time.to_zoned(jiff::tz::TimeZone::UTC).datetime());
    }
    Ok(())
}

fn write_decimal(text: &mut String, value: i128, scale: usize) {
    if value < 0 {
        text.push('-');
    }
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    text.push_str(whole);
    if scale > 0 {
        text.push('.');
        text.push_str(fraction);
    }
}

fn push(text: &mut String, value: impl std::fmt::Display) {
    // Writing to a `String` does not fail.
    let _ = write!(text, "{value}");
}

/// Why a value has no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unwritable {
    NotUtf8,
    Time,
    Decimal,
}

impl From<jiff::Error> for Unwritable {
    fn from(_: jiff::Error) -> Self {
        Self::Time
    }
}

// === impl Unit ===

impl Unit {
    fn of(unit: TimeUnit) -> Self {
        match unit {
            TimeUnit::MILLIS => Self::Milli,
            TimeUnit::MICROS => Self::Micro,
            TimeUnit::NANOS => Self::Nano,
        }
    }

    fn nanos(self) -> i64 {
        match self {
            Self::Milli => 1_000_000,
            Self::Micro => 1000,
            Self::Nano => 1,
        }
    }
}

/// What the bits of a column mean, in the new or the old annotations of the format.
enum Meaning {
    Plain,
    Unsigned,
    Decimal,
    Text,
    Uuid,
    Date,
    Time(Unit),
    Timestamp(Unit, bool),
    Other(&'static str),
}

impl Meaning {
    fn of(column: &ColumnDescriptor) -> Self {
        match column.logical_type_ref() {
            None => Self::of_converted(column.converted_type()),
            // A column of nulls alone.
            Some(LogicalType::Unknown) => Self::Plain,
            Some(LogicalType::String | LogicalType::Enum | LogicalType::Json) => Self::Text,
            Some(LogicalType::Decimal(_)) => Self::Decimal,
            Some(LogicalType::Date) => Self::Date,
            Some(LogicalType::Time(time)) => Self::Time(Unit::of(time.unit)),
            Some(LogicalType::Timestamp(time)) => {
                Self::Timestamp(Unit::of(time.unit), time.is_adjusted_to_u_t_c)
            }
            Some(LogicalType::Integer(integer)) if integer.is_signed => Self::Plain,
            Some(LogicalType::Integer(_)) => Self::Unsigned,
            Some(LogicalType::Uuid) => Self::Uuid,
            Some(LogicalType::Float16) => Self::Other("floats of 16 bits"),
            Some(_) => Self::Other("values of a type that is not read"),
        }
    }

    fn of_converted(converted: ConvertedType) -> Self {
        use ConvertedType as C;
        match converted {
            C::NONE | C::INT_8 | C::INT_16 | C::INT_32 | C::INT_64 => Self::Plain,
            C::UINT_8 | C::UINT_16 | C::UINT_32 | C::UINT_64 => Self::Unsigned,
            C::UTF8 | C::ENUM | C::JSON => Self::Text,
            C::DECIMAL => Self::Decimal,
            C::DATE => Self::Date,
            C::TIME_MILLIS => Self::Time(Unit::Milli),
            C::TIME_MICROS => Self::Time(Unit::Micro),
            C::TIMESTAMP_MILLIS => Self::Timestamp(Unit::Milli, true),
            C::TIMESTAMP_MICROS => Self::Timestamp(Unit::Micro, true),
            C::INTERVAL => Self::Other("intervals of time"),
            _ => Self::Other("values of a type that is not read"),
        }
    }
}
