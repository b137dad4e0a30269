//! Parts of plans, from what is there now.

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

/// Letters of an address that are shown. Its sha256 is over all of it.
const ADDRESS: usize = 1024;

/// The version that answers with most weight, where it is still there.
pub(in crate::action) fn serving<'a>(world: &'a World, model: &Model) -> Option<&'a ModelVersion> {
    let route = model.status.as_ref().and_then(heaviest)?;
    world
        .versions
        .iter()
        .find(|version| uid_of(*version) == route.uid)
}

/// In what a version differs from the one that serves.
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

/// Who made a version and who changed it since: none of them may approve what would be done with it.
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

/// Who changed a version's spec since it was created, as the admission policies recorded it.
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

/// Who changed the spec, in words.
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

/// The generation stands for the whole spec: the API server counts it up with every change.
pub(in crate::action) fn planned_version(version: &ModelVersion) -> PlannedVersion {
    PlannedVersion {
        name: version.metadata.name.clone().unwrap_or_default(),
        uid: uid_of(version).to_owned(),
        generation: version.metadata.generation.unwrap_or_default(),
    }
}

/// Where the rows of a training come from.
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
                host: dataset.uri.as_deref().and_then(host),
                sha256: dataset.sha256,
            }
        })
        .collect()
}

fn location(dataset: &Dataset) -> String {
    if let Some(map) = &dataset.config_map {
        format!("ConfigMap {}, key {}", map.name, map.key)
    } else if let Some(claim) = &dataset.persistent_volume_claim {
        format!("PersistentVolumeClaim {}, file {}", claim.claim_name, claim.path)
    } else {
        dataset.uri.clone().unwrap_or_default()
    }
}

/// The host that an address is fetched from, with its port. What stands before an `@` is no part of it.
fn host(uri: &str) -> Option<String> {
    let (_, rest) = uri.split_once("://")?;
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    let host = authority.rsplit('@').next()?;
    Some(host.chars().take(260).collect())
}
