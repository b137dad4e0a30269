//! Creates a Job, and protects its ConfigMap while it runs.

use k8s_openapi::api::{batch::v1::Job, core::v1::ConfigMap};
use kube::{Api, ResourceExt as _};
use modelward_crds::ModelVersion;

use crate::{
    Error,
    api::{
        Env, OwnWrites,
        apply::{self, Applied, Owner},
        create::{Created, create},
    },
    jobs::{
        build::{JobRequest, SPEC_KEY, job, spec_map, spec_of, spec_text},
        owner::{JobOwner, is_owned},
    },
};

/// The result of creating a Job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Started {
    /// It exists, with this uid.
    Made(String),
    /// A Job of the operator with the same name has to be deleted first.
    Going,
    /// An object with a needed name is not the operator's.
    Taken(String),
}

/// Creates the Job and the `ConfigMap` with its spec, unless they exist.
pub(crate) async fn start(
    env: &Env,
    writes: &OwnWrites,
    owner: &JobOwner,
    request: &JobRequest<'_>,
) -> Result<Started, Error> {
    let children = Owner {
        reference: owner.reference.clone(),
        about: &owner.about,
        settled: false,
        recorded: &[],
        by_content: true,
    };
    let spec = spec_map(owner, &spec_text(owner, request.version, request.spec))?;
    let spec_name = spec.name_any();
    let live = apply::live::<ConfigMap>(env, &owner.namespace, &spec_name).await?;
    match Box::pin(apply::child(
        env,
        writes,
        &owner.namespace,
        &children,
        live,
        &spec,
        None,
    ))
    .await?
    {
        Applied::Going => return Ok(Started::Going),
        Applied::Taken => return Ok(Started::Taken(format!("ConfigMap {spec_name}"))),
        Applied::There(_) => {}
    }
    let job = job(&env.config, owner, request, &spec_name)?;
    let name = job.name_any();
    let api = Api::<Job>::namespaced(env.client.clone(), &owner.namespace);
    if let Some(job) = env.call(format!("read Job {name}"), api.get_opt(&name)).await? {
        let uid = job.uid().unwrap_or_default();
        if !is_owned(&job, &owner.uid) {
            return Ok(Started::Taken(format!("Job {name}")));
        }
        if job.metadata.deletion_timestamp.is_some() {
            return Ok(Started::Going);
        }
        if writes.made_job(&uid) {
            return Ok(Started::Made(uid));
        }
        tracing::warn!(
            object.namespace = owner.namespace,
            object.name = name,
            "Job {name} has no recorded UID and was not created by this process; deleting and recreating it"
        );
        apply::delete(env, &owner.namespace, &job).await?;
        return Ok(Started::Going);
    }
    let made = match create(env, &owner.namespace, &job).await? {
        Created::Made(made) => made,
        // Created since it was read: the next reconcile finds out whether it is the operator's.
        Created::Exists(answer) => return Err(answer),
    };
    let uid = made.uid().unwrap_or_default();
    writes.note_job(&uid);
    Ok(Started::Made(uid))
}

/// Restores the `ConfigMap` that a running Job reads if another client changed or deleted it, because its Pod may be restarted.
pub(super) async fn keep_spec(
    env: &Env,
    writes: &OwnWrites,
    owner: &JobOwner,
    job: &Job,
    version: &ModelVersion,
) -> Result<(), Error> {
    let Some(name) = spec_of(job) else {
        return Ok(());
    };
    let live = apply::live::<ConfigMap>(env, &owner.namespace, &name).await?;
    // The spec may have changed since; the name has the hash of the original.
    let found = live
        .as_ref()
        .and_then(|live| live.data["data"][SPEC_KEY].as_str().map(ToOwned::to_owned));
    let present = spec_text(owner, &version.name_any(), &version.spec);
    for text in found.into_iter().chain([present]) {
        let wanted = spec_map(owner, &text)?;
        if wanted.name_any() != name {
            continue;
        }
        let children = Owner {
            reference: owner.reference.clone(),
            about: &owner.about,
            settled: true,
            recorded: &[],
            by_content: true,
        };
        let namespace = &owner.namespace;
        let kept = Box::pin(apply::child(
            env, writes, namespace, &children, live, &wanted, None,
        ))
        .await;
        return match kept {
            // The Job may succeed without it.
            Err(error) if error.hinders() => {
                tracing::warn!(
                    object.namespace = namespace,
                    object.name = name,
                    "cannot restore ConfigMap {name}, which a running Job reads: {}",
                    error.words()
                );
                Ok(())
            }
            kept => kept.map(drop),
        };
    }
    Ok(())
}
