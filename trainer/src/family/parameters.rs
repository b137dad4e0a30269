//! Hyper-parameters: names and values.

use serde::{Serialize, Serializer};

use super::{parameter::Parameter, space::Dimension};

/// The most rounds of a search, if the spec does not set them.
pub const MAX_ROUNDS: u32 = 1000;

/// Names and values of hyper-parameters under the library's own names, in the order in which they are written.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    values: Vec<(&'static str, Parameter)>,
    /// Those that a spec sets: a search leaves them as they are.
    fixed: Vec<&'static str>,
}

// === impl Parameters ===

impl Parameters {
    /// These parameters, in this order.
    pub fn new(parameters: impl Into<Vec<(&'static str, Parameter)>>) -> Self {
        Self {
            values: parameters.into(),
            fixed: Vec::new(),
        }
    }

    /// The same with this value of a spec, if it sets one.
    #[must_use]
    pub(super) fn given(self, name: &'static str, value: Option<Parameter>) -> Self {
        let Some(value) = value else { return self };
        let mut parameters = self.with(name, value);
        parameters.fixed.push(name);
        parameters
    }

    /// Those of these dimensions that no spec sets.
    pub(super) fn free(&self, space: &[Dimension]) -> Vec<Dimension> {
        let is_free = |dimension: &&Dimension| !self.fixed.contains(&dimension.name);
        space.iter().filter(is_free).copied().collect()
    }

    /// Whether a spec sets it.
    pub(super) fn is_given(&self, name: &str) -> bool {
        self.fixed.contains(&name)
    }

    /// The same with this value, at the place of the name if there is one.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: Parameter) -> Self {
        match self.values.iter_mut().find(|(known, _)| *known == name) {
            Some((_, place)) => *place = value,
            None => self.values.push((name, value)),
        }
        self
    }

    /// The same with these values.
    #[must_use]
    pub fn with_all(self, values: &[(&'static str, Parameter)]) -> Self {
        let each = values.iter();
        each.fold(self, |parameters, (name, value)| parameters.with(name, *value))
    }

    /// The rounds of a search: as many as the spec sets, or [`MAX_ROUNDS`].
    pub(super) fn rounds(&self, name: &str) -> u32 {
        if self.is_given(name) {
            self.count(name)
        } else {
            MAX_ROUNDS
        }
    }

    /// The value of this name.
    pub fn get(&self, name: &str) -> Option<Parameter> {
        let mut known = self.values.iter();
        known.find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// The whole number of this name; 0 if it has none.
    pub(super) fn count(&self, name: &str) -> u32 {
        match self.get(name) {
            Some(Parameter::Integer(value)) => u32::try_from(value).unwrap_or(0),
            _ => 0,
        }
    }

    /// Names and values as text, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.values.iter().map(|(name, value)| (*name, value.to_string()))
    }
}

impl Serialize for Parameters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.values.iter().map(|(name, value)| (name, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_written_in_their_order() {
        let parameters = Parameters::new([
            ("penalty", Parameter::Text("l2")),
            ("c", Parameter::Number(1.0)),
            ("a", Parameter::Integer(3)),
        ]);
        assert_eq!(
            serde_json::to_string(&parameters).unwrap(),
            r#"{"penalty":"l2","c":1.0,"a":3}"#
        );
        let changed = parameters.with("c", Parameter::Number(0.005));
        let texts: Vec<String> = changed.iter().map(|(_, value)| value).collect();
        assert_eq!(texts, ["l2", "0.005", "3"]);
    }
}
