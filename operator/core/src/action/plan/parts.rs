//! Parts of plans, from the current state.

use modelward_crds::{
    Dataset, Model, ModelVersion, PlannedDataset, PlannedDifference, PlannedRoute, PlannedVersion,
    TrainingSource, annotations,
};

use crate::{
    action::{
        canonical,
        plan::{
            differences,
            routes::{heaviest, planned},
            text::listed,
        },
        world::World,
    },
    objects::uid_of,
};

/// Longest address that is shown, in characters. Its sha256 covers all of it.
const ADDRESS: usize = 1024;

/// The version with the greatest weight, if it still exists.
pub(in crate::action) fn serving<'a>(world: &'a World, model: &Model) -> Option<&'a ModelVersion> {
    let route = model.status.as_ref().and_then(heaviest)?;
    world
        .versions
        .iter()
        .find(|version| uid_of(*version) == route.uid)
}

/// The differences between a version and the one that serves.
pub(in crate::action) fn differences_of(
    version: &ModelVersion,
    serving: Option<&ModelVersion>,
) -> Vec<PlannedDifference> {
    let status = version.status.as_ref();
    let sources = status.map(|status| status.sources.as_slice()).unwrap_or_default();
    differences::from_present(serving, &version.spec, sources, &[])
}

pub(in crate::action) fn present(model: &Model) -> Vec<PlannedRoute> {
    let routes = model.status.iter().flat_map(|status| &status.routes);
    routes.map(planned).collect()
}

/// The users who created or changed a version: none of them may approve its use.
pub(in crate::action) fn excluded(version: &ModelVersion) -> Vec<String> {
    let annotations = version.metadata.annotations.as_ref();
    let maker = annotations.and_then(|all| all.get(annotations::CREATED_BY));
    let mut people: Vec<String> = maker.into_iter().cloned().collect();
    for person in changed_by(version) {
        if !people.contains(&person) {
            people.push(person);
        }
    }
    people
}

/// The users who changed a version's spec after its creation, as recorded under the admission policies.
pub(in crate::action) fn changed_by(version: &ModelVersion) -> Vec<String> {
    let annotations = version.metadata.annotations.as_ref();
    let changers = annotations.map(annotations::changers).unwrap_or_default();
    changers.into_iter().map(ToOwned::to_owned).collect()
}

/// Whether the spec of a version was never changed.
pub fn is_as_created(version: &ModelVersion) -> bool {
    version
        .metadata
        .generation
        .is_none_or(|generation| generation <= 1)
        && changed_by(version).is_empty()
}

/// The users who changed the spec, as text.
pub(in crate::action) fn changes(version: &ModelVersion) -> String {
    let people = changed_by(version);
    if people.is_empty() {
        return String::new();
    }
    let name = version.metadata.name.as_deref().unwrap_or_default();
    format!(
        "; spec of {name} changed since it was created, by {}",
        listed(&people)
    )
}

/// The generation identifies the whole spec: the API server increments it with every change.
pub(in crate::action) fn planned_version(version: &ModelVersion) -> PlannedVersion {
    PlannedVersion {
        name: version.metadata.name.clone().unwrap_or_default(),
        uid: uid_of(version).to_owned(),
        generation: version.metadata.generation.unwrap_or_default(),
    }
}

/// The datasets of a training.
pub(in crate::action) fn datasets(training: &TrainingSource) -> Vec<PlannedDataset> {
    let own = std::iter::once((None, &training.dataset));
    let more = training
        .additional_datasets
        .iter()
        .map(|named| (Some(named.name.clone()), &named.dataset));
    own.chain(more)
        .map(|(name, dataset)| {
            let location = location(dataset);
            PlannedDataset {
                name,
                location_sha256: canonical::digest(&location),
                location: location.chars().take(ADDRESS).collect(),
                // The server that is asked: of a bucket with an endpoint that one.
                host: dataset
                    .endpoint
                    .as_deref()
                    .or(dataset.uri.as_deref())
                    .and_then(host),
                sha256: dataset.sha256,
            }
        })
        .collect()
}

fn location(dataset: &Dataset) -> String {
    let mut location = first_file(dataset);
    if let Some(endpoint) = &dataset.endpoint {
        location = format!("{location} at {endpoint}");
    }
    if let Some(secret) = &dataset.credentials_secret {
        location = format!("{location} with Secret {}", secret.name);
    }
    if !dataset.more_files.is_empty() {
        location = format!("{location}, and {}", dataset.more_files.join(", "));
    }
    location
}

fn first_file(dataset: &Dataset) -> String {
    if let Some(map) = &dataset.config_map {
        format!("ConfigMap {}, key {}", map.name, map.key)
    } else if let Some(claim) = &dataset.persistent_volume_claim {
        format!("PersistentVolumeClaim {}, file {}", claim.claim_name, claim.path)
    } else {
        dataset.uri.clone().unwrap_or_default()
    }
}

/// The host of an address, with its port and without user information before an `@`.
fn host(uri: &str) -> Option<String> {
    let (_, rest) = uri.split_once("://")?;
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    let host = authority.rsplit('@').next()?;
    Some(host.chars().take(260).collect())
}
