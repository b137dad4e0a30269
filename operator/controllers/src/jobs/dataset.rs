//! Whether the data of a training or the files of an import exist, and whether they have changed.

use k8s_openapi::{
    api::core::v1::{ConfigMap, PersistentVolumeClaim},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::Api;
use modelward_core::{
    attempt::{AbsentDataset, DatasetSeen},
    names::name_hash,
};
use modelward_crds::Dataset;

use crate::{Error, api::Env};

/// Whether these datasets exist. Only metadata is read: the operator may not read users' data.
pub(crate) async fn dataset_seen<'a>(
    env: &Env,
    namespace: &str,
    datasets: impl Iterator<Item = &'a Dataset>,
) -> Result<DatasetSeen, Error> {
    let mut fingerprints = Vec::new();
    let mut absent: Vec<AbsentDataset> = Vec::new();
    for dataset in datasets {
        match fingerprint(env, namespace, dataset).await? {
            Ok(fingerprint) => fingerprints.push(fingerprint),
            Err(what) => match absent.iter_mut().find(|known| known.name == what.name) {
                // One object with a key for each dataset.
                Some(known) => add_files(known, dataset),
                None => absent.push(what),
            },
        }
    }
    if !absent.is_empty() {
        return Ok(DatasetSeen::Absent(absent));
    }
    Ok(DatasetSeen::Present(match &fingerprints[..] {
        [one] => one.clone(),
        all => name_hash(all.iter().map(String::as_bytes)),
    }))
}

/// A text that changes whenever the content of the dataset may have changed, or what is missing.
async fn fingerprint(
    env: &Env,
    namespace: &str,
    dataset: &Dataset,
) -> Result<Result<String, AbsentDataset>, Error> {
    let (what, found) = if let Some(source) = &dataset.config_map {
        let api = Api::<ConfigMap>::namespaced(env.client.clone(), namespace);
        let name = &source.name;
        let what = AbsentDataset {
            name: format!("ConfigMap {name}"),
            create: Some(format!("kubectl create configmap {name}{}", from_files(dataset))),
        };
        let found = env
            .call(format!("read ConfigMap {name}"), api.get_metadata_opt(name))
            .await?;
        (
            what,
            found.map(|object| {
                let data = data_version(&object.metadata);
                [object.metadata.uid, data]
            }),
        )
    } else if let Some(source) = &dataset.persistent_volume_claim {
        let api = Api::<PersistentVolumeClaim>::namespaced(env.client.clone(), namespace);
        let what = format!("PersistentVolumeClaim {}", source.claim_name);
        let found = env
            .call(format!("read {what}"), api.get_metadata_opt(&source.claim_name))
            .await?;
        (what.into(), found.map(|object| [object.metadata.uid, None]))
    } else {
        let uri = dataset.uri.clone().unwrap_or_default();
        let more = dataset.endpoint.iter().chain(&dataset.more_files);
        let more: Vec<&str> = more.map(String::as_str).collect();
        let more = (!more.is_empty()).then(|| more.join(" "));
        (uri.clone().into(), Some([Some(uri), more]))
    };
    Ok(found
        .map(|parts| name_hash(parts.iter().flatten().map(String::as_bytes)))
        .ok_or(what))
}

/// Adds the keys of a dataset to the command that creates its `ConfigMap`.
fn add_files(absent: &mut AbsentDataset, dataset: &Dataset) {
    let more = from_files(dataset);
    if let Some(create) = absent.create.as_mut().filter(|create| !create.contains(&more)) {
        create.push_str(&more);
    }
}

/// The arguments that make a key of each file of a dataset.
fn from_files(dataset: &Dataset) -> String {
    let keys: Vec<&str> = dataset.files().collect();
    format!(" --from-file={}=FILE", keys.join("=FILE --from-file="))
}

/// A text that changes with the data of a `ConfigMap`, but not with its labels and annotations: the managers that wrote a key of
/// `data` and when, from the managed fields. Without managed fields it is the resourceVersion, which changes with every write.
pub(super) fn data_version(metadata: &ObjectMeta) -> Option<String> {
    let writes = metadata.managed_fields.iter().flatten().filter_map(|entry| {
        let fields = &entry.fields_v1.as_ref()?.0;
        let wrote = fields.get("f:data").or_else(|| fields.get("f:binaryData"))?;
        let time = entry.time.as_ref().map(|time| time.0.to_string());
        let manager = entry.manager.as_deref().unwrap_or_default();
        Some(format!("{manager} {} {wrote}", time.unwrap_or_default()))
    });
    let mut writes: Vec<String> = writes.collect();
    if writes.is_empty() {
        return metadata.resource_version.clone();
    }
    writes.sort();
    Some(writes.join("\n"))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use serde_json::json;

    use super::*;

    fn map(fields: &Value) -> ObjectMeta {
        serde_json::from_value(json!({
            "uid": "u", "resourceVersion": "7",
            "managedFields": fields,
        }))
        .unwrap()
    }

    #[test]
    fn labels_and_annotations_of_a_configmap_are_no_new_data_and_a_changed_key_is() {
        let data = |time: &str| {
            json!({"manager": "kubectl", "operation": "Update", "apiVersion": "v1", "time": time, "fieldsType": "FieldsV1",
                "fieldsV1": {"f:data": {".": {}, "f:cleveland.csv": {}}}})
        };
        let label = json!({"manager": "kubectl-label", "operation": "Update", "apiVersion": "v1",
            "time": "2026-11-23T10:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": {"f:metadata": {"f:labels": {}}}});
        let first = data_version(&map(&json!([data("2026-11-23T09:30:00Z")])));
        assert_eq!(
            first,
            data_version(&map(&json!([data("2026-11-23T09:30:00Z"), label])))
        );
        assert_ne!(first, data_version(&map(&json!([data("2026-11-23T09:31:00Z")]))));
        assert_eq!(
            data_version(&map(&json!([]))),
            Some("7".to_owned()),
            "without a record everything counts"
        );
    }
}
