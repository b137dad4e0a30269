//! What transforms would make of the features of a schema, and what is wrong with them, before any is fitted.

use modelward_crds::TransformSpec;
use modelward_model::{FeatureKind, FeatureSchema};

use super::{
    contract::{ColumnKind, ColumnOutline},
    kinds,
};
use crate::data::near::did_you_mean;

/// What is wrong with a transform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Its name.
    pub transform: String,
    /// What is wrong, in words that follow the name.
    pub message: String,
}

/// The columns before a transform.
struct Columns<'a> {
    schema: &'a FeatureSchema,
    specs: &'a [TransformSpec],
    /// Those that a transform may read.
    present: Vec<ColumnOutline>,
    /// Those that were replaced, each with the transform that did.
    replaced: Vec<(String, &'a str)>,
}

/// The features of this schema as columns.
pub fn outline_features(schema: &FeatureSchema) -> Vec<ColumnOutline> {
    let features = schema.features.iter().map(|feature| ColumnOutline {
        name: feature.name.clone(),
        kind: match &feature.kind {
            FeatureKind::Numeric { .. } => ColumnKind::Numeric,
            FeatureKind::Categorical { categories } => ColumnKind::Categorical(Some(categories.clone())),
        },
    });
    features.collect()
}

/// What is wrong with transforms of the features of this schema; the first problem of each.
pub fn find_problems(specs: &[TransformSpec], schema: &FeatureSchema) -> Vec<Problem> {
    let mut columns = Columns {
        schema,
        specs,
        present: outline_features(schema),
        replaced: Vec::new(),
    };
    let mut problems = Vec::new();
    for (index, spec) in specs.iter().enumerate() {
        if let Err(message) = columns.apply(index, spec) {
            problems.push(Problem {
                transform: spec.name.clone(),
                message,
            });
        }
    }
    problems
}

// === impl Columns ===

impl<'a> Columns<'a> {
    /// Applies a transform. A wrong one makes a column of unknown categories, so that later ones are checked by themselves.
    fn apply(&mut self, index: usize, spec: &'a TransformSpec) -> Result<(), String> {
        let made = self.outline(index, spec);
        let problem = made.as_ref().err().cloned();
        let made = made.unwrap_or_else(|_| vec![ColumnOutline::categorical(spec.name.as_str(), None)]);
        let taken = made.iter().find(|column| self.is_taken(&column.name));
        let taken = taken.map(|column| {
            format!(
                "makes the column {:?}, and there is one of this name; choose another name",
                column.name
            )
        });
        if !spec.keep {
            let is_read = |column: &ColumnOutline| spec.inputs().any(|name| *name == column.name);
            self.replaced
                .extend(spec.inputs().map(|name| (name.clone(), spec.name.as_str())));
            self.present.retain(|column| !is_read(column));
        }
        self.present.extend(made);
        problem.or(taken).map_or(Ok(()), Err)
    }

    fn outline(&self, index: usize, spec: &TransformSpec) -> Result<Vec<ColumnOutline>, String> {
        let find = |name: &'_ String| {
            let found = self.present.iter().find(|column| column.name == *name);
            found.ok_or_else(|| self.explain_absence(index, name))
        };
        let inputs: Vec<&ColumnOutline> = spec.inputs().map(find).collect::<Result<_, _>>()?;
        kinds::of(spec).outline(&spec.name, &inputs)
    }

    fn is_taken(&self, name: &str) -> bool {
        self.schema.names().any(|feature| feature == name)
            || self.present.iter().any(|column| column.name == name)
    }

    fn explain_absence(&self, index: usize, name: &str) -> String {
        if let Some((_, by)) = self.replaced.iter().find(|(replaced, _)| replaced == name) {
            return format!(
                "reads {name:?}, which the transform {by:?} replaced; set keep: true there, or move this one before it"
            );
        }
        let later = self.specs.iter().skip(index);
        if later.into_iter().any(|spec| spec.name == *name) {
            return format!("reads {name:?}, which no earlier transform makes; change their order");
        }
        let known = self.present.iter().map(|column| column.name.as_str());
        let meant = did_you_mean(name, known);
        let end = if meant.is_empty() { "." } else { "" };
        format!(
            "reads {name:?}, which is neither a feature nor a column of an earlier transform{meant}{end} The features are {}",
            self.schema.list_names()
        )
    }
}
