//! Reads the world of a version: its data, the Job in its status, the bundle that it names, the model's record and
//! the actions that would promote it. Reads only.

use kube::{Api, ResourceExt as _, api::ListParams};
use modelward_core::{
    attempt::{DatasetSeen, JobSeen},
    conditions,
    model::{awaits_promotion, promotion_seen, serving_seen},
    results::Asked,
    version::{BundleSeen, PublicationSeen, SnapshotSeen, Validated, World},
};
use modelward_crds::{AttemptStatus, ConditionType, Model, ModelVersion};
use modelward_ledger_client::{Corruption, Error as LedgerError, Optional as _};
use modelward_service::chain;
use modelward_wire::{JobStage, ManifestKind};

use crate::{
    Context, Error,
    api::Env,
    jobs::{self, JobOwner},
};

/// Reads everything that a decision about this version needs, and whether its model exists.
pub async fn world(ctx: &Context, valid: &Validated<'_>, owner: &JobOwner) -> Result<(World, bool), Error> {
    let version = valid.version();
    let namespace = version.namespace().unwrap_or_default();
    let models = Api::<Model>::namespaced(ctx.env.client.clone(), &namespace);
    let name = &version.spec.model;
    let model = ctx
        .env
        .call(format!("read Model {name}"), models.get_opt(name))
        .await?;
    let mut serving = serving_seen(model.as_ref(), version);
    if awaits_promotion(&serving) {
        let of_model = ListParams::default().fields(&format!("spec.model={name}"));
        let uid = model.as_ref().and_then(|model| model.metadata.uid.as_deref());
        let actions = ctx.env.actions_of(&namespace, name, uid).await?;
        let versions = ctx.env.list::<ModelVersion>(Some(&namespace), &of_model).await?;
        serving = promotion_seen(model.as_ref(), version, &actions, &versions);
    }
    let world = World {
        dataset: dataset(&ctx.env, &namespace, valid).await?,
        job: match awaited(version) {
            Some((stage, attempt)) => match asked(valid) {
                Some(asked) => {
                    Box::pin(jobs::seen(
                        &ctx.env,
                        &ctx.writes,
                        owner,
                        stage,
                        attempt,
                        &asked,
                        version,
                    ))
                    .await?
                }
                None => JobSeen::Missing,
            },
            None => JobSeen::Missing,
        },
        snapshot: snapshot(&ctx.env, &namespace, valid).await,
        bundle: bundle(&ctx.env, &namespace, valid).await,
        publication: publication(&ctx.env, &namespace, version).await,
        serving,
        obstacle: None,
    };
    Ok((world, model.is_some()))
}

/// The data, until it is frozen.
async fn dataset(env: &Env, namespace: &str, valid: &Validated<'_>) -> Result<DatasetSeen, Error> {
    let frozen = valid
        .version()
        .status
        .as_ref()
        .is_some_and(|status| status.snapshot.is_some());
    match valid.training() {
        Some(training) if training.snapshot.is_none() && !frozen => {
            jobs::dataset_seen(env, namespace, training).await
        }
        _ => Ok(DatasetSeen::Present(String::new())),
    }
}

/// The statement of the snapshot that the spec names, until the status has it.
async fn snapshot(env: &Env, namespace: &str, valid: &Validated<'_>) -> SnapshotSeen {
    let recorded = valid
        .version()
        .status
        .as_ref()
        .is_some_and(|status| !status.sources.is_empty());
    let Some(digest) = valid
        .training()
        .and_then(|training| training.snapshot)
        .filter(|_| !recorded)
    else {
        return SnapshotSeen::NotAsked;
    };
    match env.ledger.statement(namespace, &digest).await.optional() {
        Ok(Some(statement)) if statement.kind == ManifestKind::Snapshot => SnapshotSeen::Present {
            rows: statement.stated.rows,
            sources: statement.stated.sources,
        },
        Ok(_) => SnapshotSeen::Absent,
        Err(error) if error.refusal().is_some() => SnapshotSeen::Absent,
        Err(error) => {
            env.metrics.ledger_failed();
            SnapshotSeen::LedgerUnavailable(chain(&error))
        }
    }
}

/// The bundle that the spec names, until it is found.
async fn bundle(env: &Env, namespace: &str, valid: &Validated<'_>) -> BundleSeen {
    let found = valid
        .version()
        .status
        .as_ref()
        .is_some_and(|status| status.bundle.is_some());
    let Some(artifact) = valid.artifact().filter(|_| !found) else {
        return BundleSeen::NotAsked;
    };
    let digest = artifact.bundle;
    match env.ledger.manifest(namespace, &digest).await {
        Ok((manifest, _)) if manifest.kind == ManifestKind::Bundle => BundleSeen::Present,
        Ok((manifest, _)) => BundleSeen::Absent(format!(
            "{digest} in the store is a {:?} and no bundle that can be served",
            manifest.kind
        )),
        Err(LedgerError::Corrupt {
            problem: Corruption::Invalid(_),
            ..
        }) => BundleSeen::Absent(format!("{digest} in the store is no bundle that can be served")),
        // Other bytes than the digest names are not the bundle that was asked for.
        Err(error) if error.is_not_found() || matches!(error, LedgerError::Corrupt { .. }) => {
            BundleSeen::Absent(format!(
                "the store of namespace {namespace} has no bundle {digest}"
            ))
        }
        Err(error) => {
            env.metrics.ledger_failed();
            BundleSeen::LedgerUnavailable(chain(&error))
        }
    }
}

/// The publication of a version with a bundle, until the status says that MLflow has it.
async fn publication(env: &Env, namespace: &str, version: &ModelVersion) -> PublicationSeen {
    let status = version.status.as_ref();
    let Some(status) = status.filter(|status| env.config.publishes && status.bundle.is_some()) else {
        return PublicationSeen::NotAsked;
    };
    if conditions::is_true(&status.conditions, ConditionType::Published) {
        return PublicationSeen::Recorded;
    }
    let uid = version.uid().unwrap_or_default();
    match env.ledger.publication(namespace, &uid).await.optional() {
        Ok(Some(record)) => PublicationSeen::Found(record),
        Ok(None) => PublicationSeen::Absent,
        Err(error) => {
            env.metrics.ledger_failed();
            PublicationSeen::LedgerUnavailable(chain(&error))
        }
    }
}

/// The requests of the version's Jobs, if it is trained.
fn asked<'a>(valid: &Validated<'a>) -> Option<Asked<'a>> {
    let version = valid.version();
    let snapshot = version
        .status
        .as_ref()
        .and_then(|status| status.snapshot.as_ref());
    Some(Asked {
        model: &version.spec.model,
        training: valid.training()?,
        snapshot: snapshot.map(|snapshot| snapshot.digest),
    })
}

fn awaited(version: &ModelVersion) -> Option<(JobStage, &AttemptStatus)> {
    let status = version.status.as_ref()?;
    let snapshot = status
        .snapshot_attempt
        .as_ref()
        .map(|attempt| (JobStage::Snapshot, attempt));
    let fit = status
        .fit_attempt
        .as_ref()
        .map(|attempt| (JobStage::Fit, attempt));
    [fit, snapshot]
        .into_iter()
        .flatten()
        .find(|(_, attempt)| !attempt.finished)
}
