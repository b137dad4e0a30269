//! Names of models and versions, as the API server checks them.

use modelward_crds::ModelVersion;

/// Maximum length of the name of a model.
const MODEL: usize = 40;

/// Maximum length of the name of a version.
const VERSION: usize = 45;

/// Whether the API server allows this name of a model: its Service has the same name.
pub fn is_model_name(name: &str) -> bool {
    is_name(name, MODEL)
}

/// Adds what is wrong with the names of a version and of its model. A file without `metadata.name` has no name to check.
pub(super) fn check(version: &ModelVersion, wrong: &mut Vec<String>) {
    let model = &version.spec.model;
    if !is_model_name(model) {
        wrong.push(refuse("spec.model", model, MODEL));
    }
    if let Some(name) = version
        .metadata
        .name
        .as_ref()
        .filter(|name| !is_name(name, VERSION))
    {
        wrong.push(refuse("metadata.name", name, VERSION));
    }
}

fn is_name(name: &str, most: usize) -> bool {
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    name.len() <= most
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.ends_with(|c: char| c != '-')
        && name.chars().all(is_allowed)
}

fn refuse(field: &str, name: &str, most: usize) -> String {
    format!(
        "{field} is {name:?}: write at most {most} lower-case letters, digits and '-', starting with a letter"
    )
}

#[cfg(test)]
mod tests {
    use crate::spec::{parse, read_import, tests::HEART};

    #[test]
    fn names_that_the_api_server_refuses_are_refused_with_all_else_that_is_wrong() {
        let text = HEART
            .replace("model: heart", "model: Heart")
            .replace("name: heart-1}", "name: h.1}")
            .replace("folds: 5", "folds: 1");
        let error = parse(&text).unwrap_err().to_string();
        for part in [
            "spec.model is \"Heart\": write at most 40 lower-case letters, digits and '-', starting with a letter",
            "metadata.name is \"h.1\": write at most 45 lower-case letters",
            "validation.folds",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
        for name in ["1-heart", "heart-", "", &"a".repeat(41)] {
            let text = HEART.replace("model: heart", &format!("model: '{name}'"));
            let error = parse(&text).unwrap_err().to_string();
            assert!(error.contains("spec.model is"), "{name}: {error}");
        }
        parse(&HEART.replace("metadata: {name: heart-1}\n", "metadata: {}\n")).unwrap();
    }

    #[test]
    fn an_import_is_checked_as_well() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("import.yaml");
        let text = "apiVersion: modelward.io/v1alpha1\nkind: ModelVersion\nmetadata: {name: Heart-1}\nspec:\n  model: heart\n  source:\n    \
                    artifact: {file: {configMap: {name: m, key: m}}, sample: {dataset: {configMap: {name: s, key: s}}}}\n  serving: \
                    {access: Open}\n";
        std::fs::write(&path, text).unwrap();
        let error = read_import(&path).unwrap_err().to_string();
        assert!(error.contains("metadata.name is \"Heart-1\""), "{error}");
    }
}
