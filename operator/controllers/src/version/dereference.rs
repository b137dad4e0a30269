//! Reads the world of a version: its data, the Job in its status, the bundle that it names, the model's record and
//! the actions that would promote it. Reads only.

use kube::{Api, ResourceExt as _, api::ListParams};
use modelward_core::{
    attempt::{DatasetSeen, JobSeen},
    conditions,
    model::{awaits_promotion, promotion_seen, serving_seen},
    results::{Asked, Work},
    version::{BundleSeen, Origin, PublicationSeen, SnapshotSeen, Validated, World},
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
    let job = match awaited(valid).zip(asked(valid)) {
        Some(((stage, attempt), asked)) => {
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
    };
    let is_custom = valid
        .training()
        .is_some_and(|training| training.custom_trainer.is_some());
    let image_ran = match awaited(valid) {
        Some((JobStage::Fit, attempt)) if is_custom && matches!(job, JobSeen::Finished(_)) => {
            jobs::image_ran(&ctx.env, &namespace, attempt).await?
        }
        _ => None,
    };
    let world = World {
        dataset: dataset(&ctx.env, &namespace, valid).await?,
        job,
        image_ran,
        snapshot: snapshot(&ctx.env, &namespace, valid).await,
        bundle: bundle(&ctx.env, &namespace, valid).await,
        publication: publication(&ctx.env, &namespace, version).await,
        serving,
        allowed_trainers: ctx.env.config.allowed_trainers.clone(),
        obstacle: None,
    };
    Ok((world, model.is_some()))
}

/// The data, until it is frozen; the files of an import, until it has made a bundle.
async fn dataset(env: &Env, namespace: &str, valid: &Validated<'_>) -> Result<DatasetSeen, Error> {
    let status = valid.version().status.as_ref();
    let is_read = match valid.origin() {
        Origin::Training(training) => {
            training.snapshot.is_some() || status.is_some_and(|status| status.snapshot.is_some())
        }
        Origin::Import(_) => status.is_some_and(|status| status.bundle.is_some()),
        Origin::Bundle(_) => true,
    };
    if is_read {
        return Ok(DatasetSeen::Present(String::new()));
    }
    jobs::dataset_seen(env, namespace, valid.version().spec.source.datasets()).await
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
    let Some(digest) = valid.given_bundle().filter(|_| !found) else {
        return BundleSeen::NotAsked;
    };
    match env.ledger.manifest(namespace, &digest).await {
        Ok((manifest, _)) if manifest.kind == ManifestKind::Bundle => BundleSeen::Present,
        Ok((manifest, _)) => BundleSeen::Absent(format!(
            "{digest} in the store is a {:?} and not a bundle that can be served",
            manifest.kind
        )),
        Err(LedgerError::Corrupt {
            problem: Corruption::Invalid(_),
            ..
        }) => BundleSeen::Absent(format!(
            "{digest} in the store is not a bundle that can be served"
        )),
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

/// The requests of the version's Jobs, if it has any.
fn asked<'a>(valid: &Validated<'a>) -> Option<Asked<'a>> {
    let version = valid.version();
    let snapshot = version
        .status
        .as_ref()
        .and_then(|status| status.snapshot.as_ref());
    let work = match valid.origin() {
        Origin::Training(training) => Work::Training {
            training,
            snapshot: snapshot.map(|snapshot| snapshot.digest),
        },
        Origin::Import(artifact) => Work::Import(artifact),
        Origin::Bundle(_) => return None,
    };
    Some(Asked {
        model: &version.spec.model,
        work,
    })
}

fn awaited<'a>(valid: &Validated<'a>) -> Option<(JobStage, &'a AttemptStatus)> {
    let status = valid.version().status.as_ref()?;
    let stage = valid.bundle_stage()?;
    let snapshot = status
        .snapshot_attempt
        .as_ref()
        .map(|attempt| (JobStage::Snapshot, attempt));
    let fit = status.fit_attempt.as_ref().map(|attempt| (stage, attempt));
    [fit, snapshot]
        .into_iter()
        .flatten()
        .find(|(_, attempt)| !attempt.finished)
}
