//! Writes the YAML of the CRDs and the API reference from the Rust types, or checks that they are up to date.
//!
//! `crdgen` writes the files. `crdgen --check` writes nothing and exits with 1 if a file differs.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::PathBuf, process::ExitCode};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};

const HEADER: &str = "# Generated from the Rust types by `make generate`; do not edit.\n";

fn main() -> ExitCode {
    let check = std::env::args()
        .nth(1)
        .is_some_and(|argument| argument == "--check");
    match run(check) {
        Ok(stale) if stale.is_empty() => ExitCode::SUCCESS,
        Ok(stale) => {
            for path in stale {
                eprintln!("crdgen: {path} is not current; run `make generate`");
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("crdgen: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(check: bool) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let crds = modelward_crds::crds();
    let mut files = BTreeMap::new();
    for crd in &crds {
        let name = format!("{}.yaml", crd.spec.names.plural);
        let yaml = HEADER.to_owned() + &serde_saphyr::to_string(&serde_json::to_value(crd)?)?;
        files.insert(root.join("yaml").join(&name), yaml.clone());
        // Helm only reads files in the chart's own folder, and a link would not survive `helm package` everywhere. The templates of the
        // chart render these files: Helm would install a folder called crds/ by itself, once, and never upgrade it.
        files.insert(root.join("../charts/modelward-crds/files").join(&name), yaml);
    }
    files.insert(root.join("../docs/api.md"), reference(&crds));

    let mut stale = Vec::new();
    for (path, content) in files {
        if fs::read_to_string(&path).is_ok_and(|found| found == content) {
            continue;
        }
        stale.push(path.display().to_string());
        if !check {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::write(&path, content)?;
        }
    }
    Ok(if check { stale } else { Vec::new() })
}

/// The API reference: a section for each kind, a row for each field.
fn reference(crds: &[CustomResourceDefinition]) -> String {
    let mut text =
        "<!-- Generated from the Rust types by `make generate`; do not edit. -->\n# API reference\n\n\
        Group `modelward.io`, version `v1alpha1`. `kubectl explain modelversion.spec` shows the same texts.\n"
            .to_owned();
    for crd in crds {
        let Some(schema) = crd
            .spec
            .versions
            .first()
            .and_then(|version| version.schema.as_ref())
        else {
            continue;
        };
        let Some(root) = &schema.open_api_v3_schema else {
            continue;
        };
        let _ = write!(
            text,
            "\n## {}\n\n{}\n\n| field | type | bounds | what it is |\n|---|---|---|---|\n",
            crd.spec.names.kind,
            root.description.as_deref().unwrap_or_default()
        );
        for part in ["spec", "status"] {
            if let Some(schema) = root
                .properties
                .as_ref()
                .and_then(|properties| properties.get(part))
            {
                rows(&mut text, part, schema, false);
            }
        }
    }
    text
}

fn rows(text: &mut String, path: &str, schema: &JSONSchemaProps, required: bool) {
    let kind = schema.type_.as_deref().unwrap_or("any");
    let describe = schema
        .description
        .as_deref()
        .unwrap_or_default()
        .replace('\n', " ")
        .replace('|', "\\|");
    let mut bounds = bounds(schema);
    if required {
        bounds.insert(0, "required".to_owned());
    }
    let _ = writeln!(
        text,
        "| `{path}` | {kind} | {} | {describe} |",
        bounds.join("; ").replace('|', "\\|")
    );
    let needed = schema.required.clone().unwrap_or_default();
    for (name, property) in schema.properties.iter().flatten() {
        rows(text, &format!("{path}.{name}"), property, needed.contains(name));
    }
    if let Some(JSONSchemaPropsOrArray::Schema(item)) = &schema.items
        && item.properties.is_some()
    {
        let needed = item.required.clone().unwrap_or_default();
        for (name, property) in item.properties.iter().flatten() {
            rows(text, &format!("{path}[].{name}"), property, needed.contains(name));
        }
    }
}

fn bounds(schema: &JSONSchemaProps) -> Vec<String> {
    let mut bounds = Vec::new();
    if let Some(values) = &schema.enum_ {
        let names: Vec<_> = values
            .iter()
            .filter_map(|value| value.0.as_str())
            .map(|name| format!("`{name}`"))
            .collect();
        bounds.push(names.join(", "));
    }
    if let Some(default) = &schema.default {
        bounds.push(format!("default `{}`", default.0));
    }
    match (schema.minimum, schema.maximum) {
        (Some(low), Some(high)) => bounds.push(format!("{low} to {high}")),
        (Some(low), None) => bounds.push(format!("at least {low}")),
        (None, Some(high)) => bounds.push(format!("at most {high}")),
        (None, None) => {}
    }
    if let Some(length) = schema.max_length {
        bounds.push(format!("at most {length} characters"));
    }
    if let Some(items) = schema.max_items {
        bounds.push(format!("at most {items} items"));
    }
    if let Some(pattern) = &schema.pattern {
        bounds.push(format!("`{pattern}`"));
    }
    for rule in schema.x_kubernetes_validations.iter().flatten() {
        if let Some(message) = &rule.message {
            bounds.push(message.clone());
        }
    }
    bounds
}
