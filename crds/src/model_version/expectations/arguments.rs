//! The arguments that each type of expectation needs and takes.

use modelward_wire::words;
use serde_json::{Value, json};

use crate::model_version::expectations::{Expectation, ExpectationType, IgnoreRowIf};

words! {
    /// An argument of an expectation, by the name of its field.
    #[allow(missing_docs, reason = "each is the field of this name")]
    #[derive(PartialOrd, Ord)]
    pub enum Argument {
        Column = "column",
        ColumnA = "columnA",
        ColumnB = "columnB",
        ColumnList = "columnList",
        ColumnSet = "columnSet",
        ColumnIndex = "columnIndex",
        ExactMatch = "exactMatch",
        Value = "value",
        MinValue = "minValue",
        MaxValue = "maxValue",
        StrictMin = "strictMin",
        StrictMax = "strictMax",
        Mostly = "mostly",
        ValueSet = "valueSet",
        ValuePairsSet = "valuePairsSet",
        TiesOkay = "tiesOkay",
        ValueType = "valueType",
        TypeList = "typeList",
        Regex = "regex",
        RegexList = "regexList",
        MatchOn = "matchOn",
        StrftimeFormat = "strftimeFormat",
        Threshold = "threshold",
        DoubleSided = "doubleSided",
        QuantileRanges = "quantileRanges",
        OrEqual = "orEqual",
        Strictly = "strictly",
        IgnoreRowIf = "ignoreRowIf",
        SumTotal = "sumTotal",
        PartitionObject = "partitionObject",
        TailWeightHoldout = "tailWeightHoldout",
    }
}

/// The arguments of a type of expectation.
#[derive(Clone, Copy, Debug)]
pub struct Arguments {
    /// All of these must be set.
    pub needs: &'static [Argument],
    /// At least one of these must be set, if the list is not empty.
    pub needs_one_of: &'static [Argument],
    /// These may be set.
    pub takes: &'static [Argument],
}

use Argument as A;
use ExpectationType as T;

const ENDS: &[A] = &[A::MinValue, A::MaxValue];
const STRICT: &[A] = &[A::StrictMin, A::StrictMax];
const PAIR: &[A] = &[A::ColumnA, A::ColumnB];

const fn new(needs: &'static [A], needs_one_of: &'static [A], takes: &'static [A]) -> Arguments {
    Arguments {
        needs,
        needs_one_of,
        takes,
    }
}

// === impl ExpectationType ===

impl ExpectationType {
    /// The arguments that this type needs and takes.
    pub const fn arguments(self) -> Arguments {
        match self {
            T::ExpectColumnToExist => new(&[A::Column], &[], &[A::ColumnIndex]),
            T::ExpectTableColumnCountToEqual | T::ExpectTableRowCountToEqual => new(&[A::Value], &[], &[]),
            T::ExpectTableColumnCountToBeBetween => new(&[], ENDS, &[]),
            T::ExpectTableRowCountToBeBetween => new(&[], ENDS, STRICT),
            T::ExpectTableColumnsToMatchSet => new(&[A::ColumnSet], &[], &[A::ExactMatch]),
            T::ExpectTableColumnsToMatchOrderedList => new(&[A::ColumnList], &[], &[]),
            T::ExpectColumnValuesToBeOfType => new(&[A::Column, A::ValueType], &[], &[A::Mostly]),
            T::ExpectColumnValuesToBeInTypeList => new(&[A::Column, A::TypeList], &[], &[A::Mostly]),
            T::ExpectColumnValuesToNotBeNull
            | T::ExpectColumnValuesToBeNull
            | T::ExpectColumnValuesToBeUnique => new(&[A::Column], &[], &[A::Mostly]),
            T::ExpectColumnValuesToBeBetween | T::ExpectColumnValueLengthsToBeBetween => {
                new(&[A::Column], ENDS, &[A::StrictMin, A::StrictMax, A::Mostly])
            }
            T::ExpectColumnMinToBeBetween
            | T::ExpectColumnMaxToBeBetween
            | T::ExpectColumnMeanToBeBetween
            | T::ExpectColumnMedianToBeBetween
            | T::ExpectColumnStdevToBeBetween
            | T::ExpectColumnSumToBeBetween
            | T::ExpectColumnUniqueValueCountToBeBetween
            | T::ExpectColumnProportionOfUniqueValuesToBeBetween => new(&[A::Column], ENDS, STRICT),
            T::ExpectColumnQuantileValuesToBeBetween => new(&[A::Column, A::QuantileRanges], &[], &[]),
            T::ExpectColumnValueZScoresToBeLessThan => {
                new(&[A::Column, A::Threshold], &[], &[A::DoubleSided, A::Mostly])
            }
            T::ExpectColumnValuesToBeIncreasing | T::ExpectColumnValuesToBeDecreasing => {
                new(&[A::Column], &[], &[A::Strictly, A::Mostly])
            }
            T::ExpectColumnValuesToBeInSet | T::ExpectColumnValuesToNotBeInSet => {
                new(&[A::Column, A::ValueSet], &[], &[A::Mostly])
            }
            T::ExpectColumnDistinctValuesToBeInSet
            | T::ExpectColumnDistinctValuesToEqualSet
            | T::ExpectColumnDistinctValuesToContainSet => new(&[A::Column, A::ValueSet], &[], &[]),
            T::ExpectColumnMostCommonValueToBeInSet => new(&[A::Column, A::ValueSet], &[], &[A::TiesOkay]),
            T::ExpectCompoundColumnsToBeUnique | T::ExpectSelectColumnValuesToBeUniqueWithinRecord => {
                new(&[A::ColumnList], &[], &[A::IgnoreRowIf, A::Mostly])
            }
            T::ExpectMulticolumnSumToEqual => {
                new(&[A::ColumnList, A::SumTotal], &[], &[A::IgnoreRowIf, A::Mostly])
            }
            T::ExpectColumnValuesToMatchRegex | T::ExpectColumnValuesToNotMatchRegex => {
                new(&[A::Column, A::Regex], &[], &[A::Mostly])
            }
            T::ExpectColumnValuesToMatchRegexList => {
                new(&[A::Column, A::RegexList], &[], &[A::MatchOn, A::Mostly])
            }
            T::ExpectColumnValuesToMatchStrftimeFormat => {
                new(&[A::Column, A::StrftimeFormat], &[], &[A::Mostly])
            }
            T::ExpectColumnValueLengthsToEqual => new(&[A::Column, A::Value], &[], &[A::Mostly]),
            T::ExpectColumnPairValuesAToBeGreaterThanB => {
                new(PAIR, &[], &[A::OrEqual, A::IgnoreRowIf, A::Mostly])
            }
            T::ExpectColumnPairValuesToBeEqual => new(PAIR, &[], &[A::IgnoreRowIf, A::Mostly]),
            T::ExpectColumnPairValuesToBeInSet => new(
                &[A::ColumnA, A::ColumnB, A::ValuePairsSet],
                &[],
                &[A::IgnoreRowIf, A::Mostly],
            ),
            T::ExpectColumnKlDivergenceToBeLessThan => new(
                &[A::Column, A::PartitionObject, A::Threshold],
                &[],
                &[A::TailWeightHoldout],
            ),
        }
    }

    /// Whether the argument may be set.
    pub fn allows(self, argument: Argument) -> bool {
        let Arguments {
            needs,
            needs_one_of,
            takes,
        } = self.arguments();
        [needs, needs_one_of, takes]
            .iter()
            .any(|list| list.contains(&argument))
    }
}

// === impl Expectation ===

impl Expectation {
    /// The arguments that are set.
    pub fn given(&self) -> Vec<Argument> {
        Argument::ALL
            .into_iter()
            .filter(|argument| self.has(*argument))
            .collect()
    }

    /// Whether the argument is set.
    pub fn has(&self, argument: Argument) -> bool {
        match argument {
            A::Column => self.column.is_some(),
            A::ColumnA => self.column_a.is_some(),
            A::ColumnB => self.column_b.is_some(),
            A::ColumnList => self.column_list.is_some(),
            A::ColumnSet => self.column_set.is_some(),
            A::ColumnIndex => self.column_index.is_some(),
            A::ExactMatch => self.exact_match.is_some(),
            A::Value => self.value.is_some(),
            A::MinValue => self.min_value.is_some(),
            A::MaxValue => self.max_value.is_some(),
            A::StrictMin => self.strict_min.is_some(),
            A::StrictMax => self.strict_max.is_some(),
            A::Mostly => self.mostly.is_some(),
            A::ValueSet => self.value_set.is_some(),
            A::ValuePairsSet => self.value_pairs_set.is_some(),
            A::TiesOkay => self.ties_okay.is_some(),
            A::ValueType => self.value_type.is_some(),
            A::TypeList => self.type_list.is_some(),
            A::Regex => self.regex.is_some(),
            A::RegexList => self.regex_list.is_some(),
            A::MatchOn => self.match_on.is_some(),
            A::StrftimeFormat => self.strftime_format.is_some(),
            A::Threshold => self.threshold.is_some(),
            A::DoubleSided => self.double_sided.is_some(),
            A::QuantileRanges => self.quantile_ranges.is_some(),
            A::OrEqual => self.or_equal.is_some(),
            A::Strictly => self.strictly.is_some(),
            A::IgnoreRowIf => self.ignore_row_if.is_some(),
            A::SumTotal => self.sum_total.is_some(),
            A::PartitionObject => self.partition_object.is_some(),
            A::TailWeightHoldout => self.tail_weight_holdout.is_some(),
        }
    }

    /// What is wrong with the arguments, as phrases that follow the type: absent arguments, and arguments that the type does not take.
    pub fn problems(&self) -> Vec<String> {
        let Arguments {
            needs, needs_one_of, ..
        } = self.r#type.arguments();
        let mut wrong = Vec::new();
        for argument in needs.iter().filter(|argument| !self.has(**argument)) {
            wrong.push(format!("needs {argument}"));
        }
        if !needs_one_of.is_empty() && !needs_one_of.iter().any(|argument| self.has(*argument)) {
            wrong.push(format!("needs {}", list(needs_one_of, " or ")));
        }
        for argument in self.given() {
            if !self.r#type.allows(argument) {
                wrong.push(format!("does not take {argument}"));
            }
        }
        if let Some(word) = self.ignore_row_if {
            let allowed = ignored(self.r#type.arguments().needs.contains(&A::ColumnA));
            if !allowed.contains(&word) {
                wrong.push(format!(
                    "takes ignoreRowIf {}, not {word}",
                    allowed.map(IgnoreRowIf::as_str).join(", ")
                ));
            }
        }
        wrong
    }
}

const fn ignored(is_pair: bool) -> [IgnoreRowIf; 3] {
    use IgnoreRowIf::{
        AllValuesAreMissing, AnyValueIsMissing, BothValuesAreMissing, EitherValueIsMissing, Neither, Never,
    };
    if is_pair {
        [BothValuesAreMissing, EitherValueIsMissing, Neither]
    } else {
        [AllValuesAreMissing, AnyValueIsMissing, Never]
    }
}

fn list(arguments: &[Argument], separator: &str) -> String {
    let names: Vec<&str> = arguments.iter().map(|argument| argument.as_str()).collect();
    names.join(separator)
}

/// A CEL condition: the type is one of these.
fn is_one_of(is_member: impl Fn(ExpectationType) -> bool) -> String {
    let names = |wanted: bool| {
        let members = ExpectationType::ALL.into_iter();
        let names: Vec<String> = members
            .filter(|kind| is_member(*kind) == wanted)
            .map(|kind| format!("'{kind}'"))
            .collect();
        names
    };
    let (members, others) = (names(true), names(false));
    // The shorter list makes the shorter rule.
    if members.len() <= others.len() {
        format!("self.type in [{}]", members.join(","))
    } else {
        format!("!(self.type in [{}])", others.join(","))
    }
}

/// The rules of the schema: each argument is set if the type needs it, and only if the type takes it.
pub(super) fn rules() -> Value {
    let mut rules = Vec::new();
    for argument in Argument::ALL {
        let needs = |kind: ExpectationType| kind.arguments().needs.contains(&argument);
        if ExpectationType::ALL.into_iter().any(needs) {
            let condition = is_one_of(needs);
            rules.push(json!({
                "rule": format!("!({condition}) || has(self.{argument})"),
                "message": format!("this type of expectation needs {argument}"),
            }));
        }
        let allows = is_one_of(|kind| kind.allows(argument));
        rules.push(json!({
            "rule": format!("!has(self.{argument}) || {allows}"),
            "message": format!("this type of expectation does not take {argument}"),
        }));
    }
    let has_ends = is_one_of(|kind| !kind.arguments().needs_one_of.is_empty());
    rules.push(json!({
        "rule": format!("!({has_ends}) || has(self.minValue) || has(self.maxValue)"),
        "message": "this type of expectation needs minValue or maxValue",
    }));
    let words = |is_pair| ignored(is_pair).map(|word| format!("'{word}'")).join(",");
    rules.push(json!({
        "rule": format!("!has(self.ignoreRowIf) || self.ignoreRowIf in (has(self.columnA) ? [{}] : [{}])", words(true), words(false)),
        "message": "ignoreRowIf is BothValuesAreMissing, EitherValueIsMissing or Neither of a pair, and AllValuesAreMissing, \
                    AnyValueIsMissing or Never of columnList",
    }));
    Value::Array(rules)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expectation(value: Value) -> Expectation {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_an_expectation_lacks_and_does_not_take_is_named() {
        let one = expectation(json!({"type": "ExpectColumnValuesToBeBetween", "regex": "a"}));
        assert_eq!(
            one.problems(),
            [
                "needs column",
                "needs minValue or maxValue",
                "does not take regex"
            ]
        );
        let two = expectation(json!({
            "type": "ExpectColumnPairValuesToBeEqual", "columnA": "a", "columnB": "b", "ignoreRowIf": "Never"
        }));
        assert_eq!(two.problems().len(), 1, "{:?}", two.problems());
        let right = expectation(json!({"type": "ExpectTableRowCountToBeBetween", "minValue": "1"}));
        assert_eq!(right.problems(), [""; 0]);
    }

    #[test]
    fn every_argument_is_a_field_and_is_taken_by_an_expectation() {
        let schema = serde_json::to_value(schemars::schema_for!(Expectation)).unwrap();
        let fields: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
        for argument in Argument::ALL {
            assert!(fields.contains(&&argument.to_string()), "{argument}");
            assert!(ExpectationType::ALL.into_iter().any(|kind| kind.allows(argument)));
        }
        assert_eq!(
            fields.len(),
            Argument::ALL.len() + 2,
            "type and severity are no arguments"
        );
    }

    #[test]
    fn rules_of_the_schema_name_every_argument_and_stay_short() {
        let rules = rules();
        let rules = rules.as_array().unwrap();
        for argument in Argument::ALL {
            let named = format!("has(self.{argument})");
            assert!(
                rules
                    .iter()
                    .any(|rule| rule["rule"].as_str().unwrap().contains(&named))
            );
        }
        let total: usize = rules
            .iter()
            .map(|rule| rule["rule"].as_str().unwrap().len())
            .sum();
        assert!(total < 24_000, "{total}");
    }
}
