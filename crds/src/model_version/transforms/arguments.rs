//! The arguments that each type of transform needs and takes.

use modelward_wire::words;
use serde_json::{Value, json};

use crate::model_version::transforms::{ImputeStrategy, TransformSpec, TransformType};

words! {
    /// An argument of a transform, by the name of its field.
    #[allow(missing_docs, reason = "each is the field of this name")]
    #[derive(PartialOrd, Ord)]
    pub enum TransformArgument {
        Column = "column",
        ColumnA = "columnA",
        ColumnB = "columnB",
        Strategy = "strategy",
        Value = "value",
        Indicator = "indicator",
        Order = "order",
        Smoothing = "smoothing",
        Offset = "offset",
        MinValue = "minValue",
        MaxValue = "maxValue",
        MinQuantile = "minQuantile",
        MaxQuantile = "maxQuantile",
        Bins = "bins",
        Binning = "binning",
        Edges = "edges",
    }
}

/// The arguments of a type of transform.
#[derive(Clone, Copy, Debug)]
pub struct TransformArguments {
    /// All of these must be set.
    pub needs: &'static [TransformArgument],
    /// At least one of these must be set, if the list is not empty.
    pub needs_one_of: &'static [TransformArgument],
    /// These may be set.
    pub takes: &'static [TransformArgument],
}

use TransformArgument as A;
use TransformType as T;

const COLUMN: &[A] = &[A::Column];
const PAIR: &[A] = &[A::ColumnA, A::ColumnB];

/// Only one argument of each pair may be set.
const EXCLUSIVE: [(A, A); 4] = [
    (A::MinValue, A::MinQuantile),
    (A::MaxValue, A::MaxQuantile),
    (A::Bins, A::Edges),
    (A::Binning, A::Edges),
];

const fn new(needs: &'static [A], needs_one_of: &'static [A], takes: &'static [A]) -> TransformArguments {
    TransformArguments {
        needs,
        needs_one_of,
        takes,
    }
}

// === impl TransformType ===

impl TransformType {
    /// The arguments that this type needs and takes.
    pub const fn arguments(self) -> TransformArguments {
        match self {
            T::Impute => new(&[A::Column, A::Strategy], &[], &[A::Value, A::Indicator]),
            T::Standardize | T::OneHot | T::FrequencyEncode => new(COLUMN, &[], &[]),
            T::Ordinal => new(COLUMN, &[], &[A::Order]),
            T::TargetEncode => new(COLUMN, &[], &[A::Smoothing]),
            T::Log => new(COLUMN, &[], &[A::Offset]),
            T::Clip => new(
                COLUMN,
                &[A::MinValue, A::MaxValue, A::MinQuantile, A::MaxQuantile],
                &[],
            ),
            T::Bins => new(COLUMN, &[A::Bins, A::Edges], &[A::Binning]),
            T::Ratio | T::Product => new(PAIR, &[], &[]),
        }
    }

    /// Whether the argument may be set.
    pub fn allows(self, argument: TransformArgument) -> bool {
        let TransformArguments {
            needs,
            needs_one_of,
            takes,
        } = self.arguments();
        [needs, needs_one_of, takes]
            .iter()
            .any(|list| list.contains(&argument))
    }
}

// === impl TransformSpec ===

impl TransformSpec {
    /// Whether the argument is set.
    pub fn has(&self, argument: TransformArgument) -> bool {
        match argument {
            A::Column => self.column.is_some(),
            A::ColumnA => self.column_a.is_some(),
            A::ColumnB => self.column_b.is_some(),
            A::Strategy => self.strategy.is_some(),
            A::Value => self.value.is_some(),
            A::Indicator => self.indicator.is_some(),
            A::Order => self.order.is_some(),
            A::Smoothing => self.smoothing.is_some(),
            A::Offset => self.offset.is_some(),
            A::MinValue => self.min_value.is_some(),
            A::MaxValue => self.max_value.is_some(),
            A::MinQuantile => self.min_quantile.is_some(),
            A::MaxQuantile => self.max_quantile.is_some(),
            A::Bins => self.bins.is_some(),
            A::Binning => self.binning.is_some(),
            A::Edges => self.edges.is_some(),
        }
    }

    /// What is wrong with the arguments, as phrases that follow the type: absent arguments, arguments that the type does not take, and
    /// arguments that exclude each other.
    pub fn problems(&self) -> Vec<String> {
        let TransformArguments {
            needs, needs_one_of, ..
        } = self.r#type.arguments();
        let mut wrong = Vec::new();
        for argument in needs.iter().filter(|argument| !self.has(**argument)) {
            wrong.push(format!("needs {argument}"));
        }
        if !needs_one_of.is_empty() && !needs_one_of.iter().any(|argument| self.has(*argument)) {
            wrong.push(format!("needs {}", one_of(needs_one_of)));
        }
        for argument in TransformArgument::ALL {
            if self.has(argument) && !self.r#type.allows(argument) {
                wrong.push(format!("does not take {argument}"));
            }
        }
        for (one, other) in EXCLUSIVE {
            if self.has(one) && self.has(other) {
                wrong.push(format!("takes {one} or {other}, not both"));
            }
        }
        let is_constant = self.strategy == Some(ImputeStrategy::Constant);
        if self.strategy.is_some() && is_constant != self.value.is_some() {
            wrong.push("takes value with strategy Constant, and with no other".to_owned());
        }
        wrong
    }
}

fn one_of(arguments: &[TransformArgument]) -> String {
    let names: Vec<&str> = arguments.iter().map(|argument| argument.as_str()).collect();
    names.join(" or ")
}

/// A CEL condition: the type is one of these.
fn is_one_of(is_member: impl Fn(TransformType) -> bool) -> String {
    let members = TransformType::ALL.into_iter().filter(|kind| is_member(*kind));
    let names: Vec<String> = members.map(|kind| format!("'{kind}'")).collect();
    format!("self.type in [{}]", names.join(","))
}

/// The rules of the schema: each argument is set if the type needs it, and only if the type takes it.
pub(super) fn rules() -> Value {
    let mut rules = Vec::new();
    let mut add = |rule: String, message: String| rules.push(json!({"rule": rule, "message": message}));
    for argument in TransformArgument::ALL {
        let needs = |kind: TransformType| kind.arguments().needs.contains(&argument);
        if TransformType::ALL.into_iter().any(needs) {
            add(
                format!("!({}) || has(self.{argument})", is_one_of(needs)),
                format!("this type of transform needs {argument}"),
            );
        }
        add(
            format!(
                "!has(self.{argument}) || {}",
                is_one_of(|kind| kind.allows(argument))
            ),
            format!("this type of transform does not take {argument}"),
        );
    }
    for kind in TransformType::ALL {
        let arguments = kind.arguments().needs_one_of;
        if !arguments.is_empty() {
            let has: Vec<String> = arguments
                .iter()
                .map(|argument| format!("has(self.{argument})"))
                .collect();
            add(
                format!("self.type != '{kind}' || {}", has.join(" || ")),
                format!("{kind} needs {}", one_of(arguments)),
            );
        }
    }
    for (one, other) in EXCLUSIVE {
        add(
            format!("!has(self.{one}) || !has(self.{other})"),
            format!("set {one} or {other}, not both"),
        );
    }
    add(
        "!has(self.strategy) || (self.strategy == 'Constant') == has(self.value)".to_owned(),
        "value is set with strategy Constant, and with no other".to_owned(),
    );
    Value::Array(rules)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(value: Value) -> Vec<String> {
        serde_json::from_value::<TransformSpec>(value).unwrap().problems()
    }

    #[test]
    fn what_a_transform_lacks_and_does_not_take_is_named() {
        let found = problems(json!({"name": "a", "type": "Ratio", "columnA": "x", "bins": 3}));
        assert_eq!(found, ["needs columnB", "does not take bins"]);
        let found = problems(json!({"name": "a", "type": "Bins", "column": "x"}));
        assert_eq!(found, ["needs bins or edges"]);
        let found = problems(
            json!({"name": "a", "type": "Clip", "column": "x", "minValue": "1", "minQuantile": "0.1"}),
        );
        assert_eq!(found, ["takes minValue or minQuantile, not both"]);
        let found = problems(json!({"name": "a", "type": "Impute", "column": "x", "strategy": "Constant"}));
        assert_eq!(found, ["takes value with strategy Constant, and with no other"]);
        let found = problems(json!({"name": "a", "type": "Impute", "column": "x", "strategy": "Median"}));
        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn every_argument_is_a_field_and_is_taken_by_a_transform() {
        let schema = serde_json::to_value(schemars::schema_for!(TransformSpec)).unwrap();
        let fields: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
        for argument in TransformArgument::ALL {
            assert!(fields.contains(&&argument.to_string()), "{argument}");
            assert!(TransformType::ALL.into_iter().any(|kind| kind.allows(argument)));
        }
        assert_eq!(
            fields.len(),
            TransformArgument::ALL.len() + 3,
            "name, type and keep are no arguments"
        );
    }

    #[test]
    fn rules_of_the_schema_name_every_argument() {
        let rules = rules();
        for argument in TransformArgument::ALL {
            let named = format!("has(self.{argument})");
            let mut all = rules.as_array().unwrap().iter();
            assert!(all.any(|rule| rule["rule"].as_str().unwrap().contains(&named)));
        }
    }
}
