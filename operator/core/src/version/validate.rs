//! What has to hold of a version before anything is decided about it or created for it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource as _;
use modelward_crds::{ArtifactSource, ModelVersion, TrainingSource};
use modelward_wire::{Decimal, Digest, JobStage};

/// A version that the API server has stored and whose spec says how it is obtained. Decisions and builders take this, so that none
/// of them has to check it again.
#[derive(Clone, Debug)]
pub struct Validated<'a> {
    version: &'a ModelVersion,
    origin: Origin<'a>,
    owner: OwnerReference,
}

/// How a version is obtained.
#[derive(Clone, Copy, Debug)]
pub enum Origin<'a> {
    /// It is trained.
    Training(&'a TrainingSource),
    /// Its bundle exists.
    Bundle(GivenBundle<'a>),
    /// A model that was trained elsewhere becomes its bundle.
    Import(&'a ArtifactSource),
}

/// A bundle in the store that a spec names.
#[derive(Clone, Copy, Debug)]
pub struct GivenBundle<'a> {
    /// Its digest.
    pub digest: Digest,
    /// The threshold, if the spec sets one.
    pub threshold: Option<&'a Decimal>,
}

/// Why nothing can be decided about a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// It has no name or no uid, so nothing can belong to it.
    #[error("the version has no metadata.uid")]
    NoUid,
    /// The API server accepts no such spec.
    #[error("the spec names neither a training nor an artifact")]
    NoSource,
}

/// Checks a version once for every decision and builder.
pub fn validate(version: &ModelVersion) -> Result<Validated<'_>, Invalid> {
    let owner = version.controller_owner_ref(&()).ok_or(Invalid::NoUid)?;
    let source = &version.spec.source;
    let origin = match (&source.training, &source.artifact) {
        (Some(training), _) => Origin::Training(training),
        (None, Some(artifact)) => match artifact.bundle {
            Some(digest) => Origin::Bundle(GivenBundle {
                digest,
                threshold: artifact.threshold.as_ref(),
            }),
            None => Origin::Import(artifact),
        },
        (None, None) => return Err(Invalid::NoSource),
    };
    Ok(Validated {
        version,
        origin,
        owner,
    })
}

// === impl Validated ===

impl<'a> Validated<'a> {
    /// The object.
    pub fn version(&self) -> &'a ModelVersion {
        self.version
    }

    /// How it is obtained.
    pub fn origin(&self) -> Origin<'a> {
        self.origin
    }

    /// The training, if it is trained.
    pub fn training(&self) -> Option<&'a TrainingSource> {
        match self.origin {
            Origin::Training(training) => Some(training),
            Origin::Bundle(_) | Origin::Import(_) => None,
        }
    }

    /// The bundle that it names, if there is one already.
    pub fn given_bundle(&self) -> Option<Digest> {
        match self.origin {
            Origin::Bundle(bundle) => Some(bundle.digest),
            Origin::Training(_) | Origin::Import(_) => None,
        }
    }

    /// The stage that makes its bundle, if a Job does.
    pub fn bundle_stage(&self) -> Option<JobStage> {
        match self.origin {
            Origin::Training(_) => Some(JobStage::Fit),
            Origin::Import(_) => Some(JobStage::Import),
            Origin::Bundle(_) => None,
        }
    }

    /// The owner reference of its Jobs.
    pub fn owner(&self) -> &OwnerReference {
        &self.owner
    }
}
