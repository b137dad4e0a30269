//! What a `ModelVersion` says about a model that is imported.

use std::path::Path;

use modelward_crds::{ArtifactSource, Source};
use modelward_model::normalize_name;

use super::{Spec, SpecError, names, no_source, of_version, parse_version, read_text};

/// The `ModelVersion` of an import.
#[derive(Clone, Debug, PartialEq)]
pub enum ImportSpec {
    /// One that names the model and its sample.
    Artifact {
        /// Name of the model that it is a version of.
        model: String,
        /// Where the model is, its sample and its threshold.
        artifact: Box<ArtifactSource>,
    },
    /// One of a training: the model has the same target, features, columns and threshold.
    Training(Box<Spec>),
}

/// Reads and checks the `ModelVersion` of an import, in YAML or JSON.
pub fn read_import(path: &Path) -> Result<ImportSpec, SpecError> {
    parse_import(&read_text(path)?)
}

fn parse_import(text: &str) -> Result<ImportSpec, SpecError> {
    let mut version = parse_version(text)?;
    let mut wrong = Vec::new();
    names::check(&version, &mut wrong);
    let Source { training, artifact } = &mut version.spec.source;
    match (training.is_some(), artifact.take()) {
        (true, None) => Ok(ImportSpec::Training(Box::new(of_version(version)?))),
        (false, Some(mut artifact)) => {
            if !wrong.is_empty() {
                return Err(SpecError::Invalid(wrong));
            }
            check(&artifact)?;
            normalize_names(&mut artifact);
            Ok(ImportSpec::Artifact {
                model: version.spec.model,
                artifact,
            })
        }
        _ => Err(no_source()),
    }
}

/// What the API server checks too: a spec may be a file.
fn check(artifact: &ArtifactSource) -> Result<(), SpecError> {
    if let Some(bundle) = artifact.bundle {
        return Err(SpecError::Artifact(bundle));
    }
    let invalid = |what: &str| Err(SpecError::Invalid(vec![what.to_owned()]));
    if artifact.file.is_some() == artifact.mlflow.is_some() {
        return invalid("source.artifact must set exactly one of bundle, file and mlflow");
    }
    if artifact.file.is_some() && artifact.sample.is_none() {
        return invalid(
            "source.artifact.file needs source.artifact.sample: rows with the scores that the model gives them",
        );
    }
    if artifact.datasets().any(|dataset| dataset.files().count() != 1) {
        return invalid(
            "source.artifact.file and source.artifact.sample.dataset are one file each, from one of configMap, uri and persistentVolumeClaim",
        );
    }
    Ok(())
}

/// Converts names of columns to the composed form, in which names of tables are read too.
fn normalize_names(artifact: &mut ArtifactSource) {
    let Some(sample) = &mut artifact.sample else {
        return;
    };
    let names = (sample.target.iter_mut().map(|target| &mut target.column))
        .chain(&mut sample.exclude)
        .chain(sample.features.iter_mut().map(|feature| &mut feature.name))
        .chain(&mut sample.expected)
        .chain(&mut sample.expected_raw);
    for name in names {
        *name = normalize_name(name).into_owned();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(artifact: &str) -> Result<ImportSpec, SpecError> {
        parse_import(&format!(
            "apiVersion: modelward.io/v1alpha1\nkind: ModelVersion\nmetadata: {{name: heart-1}}\nspec:\n  model: heart\n  source:\n    \
             artifact: {artifact}\n  serving: {{access: Open}}\n"
        ))
    }

    #[test]
    fn the_names_of_columns_are_in_their_composed_form() {
        let found = parse(
            "{file: {uri: 'https://example.com/model.txt'}, sample: {dataset: {uri: 'https://example.com/sample.csv'}, \
             exclude: [\"cafe\\u0301\"], expected: p}}",
        )
        .unwrap();
        let ImportSpec::Artifact { model, artifact } = found else {
            unreachable!("an artifact is given")
        };
        assert_eq!(model, "heart");
        assert_eq!(artifact.sample.unwrap().exclude, ["caf\u{e9}"]);
    }

    #[test]
    fn the_samples_are_imports() {
        for name in ["heart-imported.yaml", "heart-registered.yaml"] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../manifests/samples")
                .join(name);
            let found = read_import(&path).unwrap();
            assert!(
                matches!(found, ImportSpec::Artifact { model, .. } if model == "heart"),
                "{name}"
            );
        }
    }

    #[test]
    fn what_cannot_be_imported_is_refused_with_a_sentence() {
        let bundle = format!("sha256:{}", "ab".repeat(32));
        for (artifact, words) in [
            (format!("{{bundle: '{bundle}'}}"), "serves the bundle sha256:abab"),
            ("{}".to_owned(), "exactly one of bundle, file and mlflow"),
            (
                "{file: {uri: 'https://example.com/m'}}".to_owned(),
                "needs source.artifact.sample",
            ),
            (
                "{file: {}, sample: {dataset: {uri: 'https://example.com/s'}}}".to_owned(),
                "are one file each",
            ),
        ] {
            let error = parse(&artifact).unwrap_err().to_string();
            assert!(error.contains(words), "{artifact}: {error}");
        }
    }
}
