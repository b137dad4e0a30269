//! Authentication and authorization of callers.
//!
//! A caller sends a projected service account token. The API server returns its user, its audience and its Pod
//! (`TokenReview`). The ledger then follows the owners of that Pod up to an object of Modelward:
//!
//! ```text
//! Pod ──controller──► Job ──controller──► ModelVersion or RemediationAction           Caller::Trainer, may write
//! Pod ──controller──► ReplicaSet ──controller──► Deployment ──controller──► Model     Caller::Server, may read, and
//!                                                                                     report its counts and labels
//! ```
//!
//! Each step fetches the owner by name and compares its uid with the one in the reference, because a reference is only a
//! claim of its writer. A token is never logged, and is cached by its sha256.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::{
    api::{
        authentication::v1::{TokenReview, TokenReviewSpec, UserInfo},
        core::v1::Pod,
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::{
    Api, Client,
    api::{DynamicObject, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use modelward_service::chain;
use sha2::{Digest as _, Sha256};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};
use uuid::Uuid;

use crate::{error::ApiError, metrics::Metrics};

/// Authenticates callers through the API server.
pub(crate) struct Authenticator {
    client: Client,
    audience: String,
    operator: String,
    lifetime: Duration,
    known: Mutex<HashMap<[u8; 32], Known>>,
    /// Limits the load on the API server by unknown tokens.
    proofs: Semaphore,
    metrics: Arc<Metrics>,
}

/// An authenticated caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// The operator's service account.
    Operator,
    /// A Pod of a training Job.
    Trainer {
        /// Its namespace.
        namespace: String,
        /// uid of its Job.
        job: Uuid,
        /// uid of the object that the Job belongs to.
        owner: Uuid,
    },
    /// A Pod of a Model's Deployment.
    Server {
        /// Its namespace.
        namespace: String,
        /// Name of the Model.
        model: String,
        /// uid of the Pod.
        pod: Uuid,
    },
}

/// The cached result of a token.
struct Known {
    until: Instant,
    outcome: Result<Caller, Refusal>,
}

/// Why a caller is refused. These reasons hold for the token, not just for the moment.
#[derive(Clone, Debug)]
enum Refusal {
    Unauthenticated(String),
    Forbidden(String),
}

/// Why a caller could not be authenticated.
enum Failure {
    Refused(Refusal),
    /// The API server is unavailable.
    Unavailable(String),
}

/// Time limit of a call to the API server. It usually answers in milliseconds. Callers retry if it takes longer.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a refusal is cached: just long enough to limit the load of a client that retries in a loop.
const REFUSAL_LIFETIME: Duration = Duration::from_secs(1);
/// Maximum number of cached tokens. A token lives for minutes, and a cluster has fewer Pods of Modelward than this.
const KNOWN_LIMIT: usize = 8192;
const PROOFS_AT_ONCE: usize = 16;
/// Real tokens have about 1,200 bytes.
const TOKEN_LIMIT: usize = 16 * 1024;
const GROUP: &str = "modelward.io";

// === impl Authenticator ===

impl Authenticator {
    pub(crate) fn new(
        client: Client,
        audience: String,
        operator: String,
        lifetime: Duration,
        metrics: Arc<Metrics>,
    ) -> Self {
        let known = Mutex::new(HashMap::new());
        Self {
            client,
            audience,
            operator,
            lifetime,
            known,
            proofs: Semaphore::new(PROOFS_AT_ONCE),
            metrics,
        }
    }

    /// Authenticates the caller by the `Authorization` header.
    pub(crate) async fn prove(&self, authorization: Option<&str>) -> Result<Caller, ApiError> {
        let token = match bearer(authorization) {
            Ok(token) => token,
            Err(message) => {
                self.metrics.proof("unauthenticated");
                return Err(ApiError::Unauthenticated(message.into()));
            }
        };
        let key: [u8; 32] = Sha256::digest(token).into();
        if let Some(outcome) = self.recall(&key) {
            self.metrics.proof("cached");
            return outcome.map_err(ApiError::from);
        }
        let proof = async {
            let Ok(_permit) = self.proofs.acquire().await else {
                return Err(Failure::Unavailable("the ledger is shutting down".into()));
            };
            // While this one waited for the permit, another request with this token may have been answered.
            match self.recall(&key) {
                Some(outcome) => outcome.map_err(Failure::Refused),
                None => self.review(token).await,
            }
        };
        // Authentication takes several calls. Together they may take twice the limit of one.
        let outcome = timeout(2 * CALL_TIMEOUT, proof).await.unwrap_or_else(|_| {
            Err(Failure::Unavailable(
                "the API server takes too long to answer".into(),
            ))
        });
        match outcome {
            Ok(caller) => {
                self.metrics.proof("accepted");
                self.remember(key, self.lifetime, Ok(caller.clone()));
                Ok(caller)
            }
            Err(Failure::Refused(refusal)) => {
                self.metrics.proof(match refusal {
                    Refusal::Unauthenticated(_) => "unauthenticated",
                    Refusal::Forbidden(_) => "forbidden",
                });
                self.remember(key, REFUSAL_LIFETIME, Err(refusal.clone()));
                Err(refusal.into())
            }
            Err(Failure::Unavailable(why)) => {
                self.metrics.proof("unavailable");
                tracing::warn!("cannot authenticate a caller: {why}");
                Err(ApiError::Unavailable(format!(
                    "cannot authenticate the caller: {why}"
                )))
            }
        }
    }

    async fn review(&self, token: &str) -> Result<Caller, Failure> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: Some(token.to_owned()),
                audiences: Some(vec![self.audience.clone()]),
            },
            ..TokenReview::default()
        };
        let reviews = Api::<TokenReview>::all(self.client.clone());
        let status = ask(
            "create tokenreviews",
            reviews.create(&PostParams::default(), &review),
        )
        .await?
        .and_then(|review| review.status)
        .unwrap_or_default();
        let ours = status.audiences.unwrap_or_default().contains(&self.audience);
        // An API server without support for audiences answers without them, and would accept a token for itself.
        if status.authenticated != Some(true) || !ours {
            return Err(unauthenticated(format!(
                "the API server does not accept this token: it must be an unexpired service account token of an existing \
                 Pod for the audience {:?}",
                self.audience
            )));
        }
        self.identify(status.user.unwrap_or_default()).await
    }

    async fn identify(&self, user: UserInfo) -> Result<Caller, Failure> {
        let name = user.username.unwrap_or_default();
        if name == self.operator {
            return Ok(Caller::Operator);
        }
        let Some((namespace, _)) = name
            .strip_prefix("system:serviceaccount:")
            .and_then(|account| account.split_once(':'))
        else {
            return Err(forbidden(format!(
                "{name} is not a service account: only Pods of Modelward may call"
            )));
        };
        let extra = user.extra.unwrap_or_default();
        let extra = |key: &str| {
            extra
                .get(key)
                .and_then(|values| values.first())
                .map_or("", String::as_str)
        };
        let pod_name = extra("authentication.kubernetes.io/pod-name");
        let pod_uid = extra("authentication.kubernetes.io/pod-uid");
        if pod_name.is_empty() || pod_uid.is_empty() {
            return Err(forbidden(format!(
                "the token of {name} is not bound to a Pod: mount a projected token"
            )));
        }
        let pods = Api::<Pod>::namespaced(self.client.clone(), namespace);
        let pod = ask("get pods", pods.get(pod_name)).await?;
        // A terminating Pod still runs and may have its last results to report.
        let Some(pod) = pod.filter(|pod| pod.metadata.uid.as_deref() == Some(pod_uid)) else {
            return Err(forbidden(format!(
                "Pod {namespace}/{pod_name} with uid {pod_uid} does not exist"
            )));
        };
        let phase = pod.status.and_then(|status| status.phase);
        if let Some(phase @ ("Succeeded" | "Failed")) = phase.as_deref() {
            return Err(forbidden(format!(
                "Pod {namespace}/{pod_name} has ended ({phase})"
            )));
        }
        self.place(namespace, pod_name, &pod.metadata).await
    }

    /// Follows the owners of a Pod up to a `ModelVersion`, a `RemediationAction` or a `Model`.
    async fn place(&self, namespace: &str, pod_name: &str, pod: &ObjectMeta) -> Result<Caller, Failure> {
        let stranger = || {
            forbidden(format!(
                "Pod {namespace}/{pod_name} belongs neither to a Job of a ModelVersion or a RemediationAction nor to the \
                 Deployment of a Model"
            ))
        };
        let owner = controller(pod).ok_or_else(stranger)?;
        match kind(owner) {
            ("batch", "Job") => {
                let job = self.owner(namespace, owner, "jobs").await?;
                let cause = controller(&job).ok_or_else(stranger)?;
                let plural = match kind(cause) {
                    (GROUP, "ModelVersion") => "modelversions",
                    (GROUP, "RemediationAction") => "remediationactions",
                    _ => return Err(stranger()),
                };
                self.owner(namespace, cause, plural).await?;
                Ok(Caller::Trainer {
                    namespace: namespace.to_owned(),
                    job: uid(&owner.uid)?,
                    owner: uid(&cause.uid)?,
                })
            }
            ("apps", "ReplicaSet") => {
                let set = self.owner(namespace, owner, "replicasets").await?;
                let deployment = controller(&set).filter(|owner| kind(owner) == ("apps", "Deployment"));
                let deployment = self
                    .owner(namespace, deployment.ok_or_else(stranger)?, "deployments")
                    .await?;
                let model = controller(&deployment).filter(|owner| kind(owner) == (GROUP, "Model"));
                let model = model.ok_or_else(stranger)?;
                self.owner(namespace, model, "models").await?;
                Ok(Caller::Server {
                    namespace: namespace.to_owned(),
                    model: model.name.clone(),
                    pod: uid(pod.uid.as_deref().unwrap_or_default())?,
                })
            }
            _ => Err(stranger()),
        }
    }

    /// The metadata of the object of a reference, if it has the uid of the reference.
    async fn owner(
        &self,
        namespace: &str,
        reference: &OwnerReference,
        plural: &str,
    ) -> Result<ObjectMeta, Failure> {
        let (group, kind) = kind(reference);
        let version = reference.api_version.rsplit('/').next().unwrap_or_default();
        let resource =
            ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
        let api = Api::<DynamicObject>::namespaced_with(self.client.clone(), namespace, &resource);
        let object = ask(
            &format!("get {plural}.{group}"),
            api.get_metadata(&reference.name),
        )
        .await?;
        object
            .map(|object| object.metadata)
            .filter(|metadata| metadata.uid.as_ref() == Some(&reference.uid))
            .ok_or_else(|| {
                let (name, uid) = (&reference.name, &reference.uid);
                forbidden(format!(
                    "the owner {kind} {namespace}/{name} with uid {uid} does not exist"
                ))
            })
    }

    fn recall(&self, key: &[u8; 32]) -> Option<Result<Caller, Refusal>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .get(key)
            .filter(|known| known.until > Instant::now())
            .map(|known| known.outcome.clone())
    }

    fn remember(&self, key: [u8; 32], lifetime: Duration, outcome: Result<Caller, Refusal>) {
        let now = Instant::now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_LIMIT {
            known.retain(|_, known| known.until > now);
            // Forgetting a token costs only a review. An unbounded cache could exhaust the memory.
            if known.len() >= KNOWN_LIMIT {
                known.clear();
            }
        }
        known.insert(
            key,
            Known {
                until: now + lifetime,
                outcome,
            },
        );
    }
}

/// Waits for one answer. `None` if the object does not exist.
async fn ask<T>(what: &str, call: impl Future<Output = kube::Result<T>>) -> Result<Option<T>, Failure> {
    match timeout(CALL_TIMEOUT, call).await {
        Ok(Ok(answer)) => Ok(Some(answer)),
        Ok(Err(kube::Error::Api(status))) if status.is_not_found() => Ok(None),
        Ok(Err(kube::Error::Api(status))) if status.is_forbidden() => Err(Failure::Unavailable(format!(
            "the ledger's service account may not {what}: its ClusterRole does not have this rule"
        ))),
        Ok(Err(error)) => {
            tracing::debug!(error = chain(&error), "failed to {what}");
            Err(Failure::Unavailable(match error {
                kube::Error::Api(status) => format!("the API server answered {} to {what}", status.code),
                _ => "the API server cannot be reached".into(),
            }))
        }
        Err(_) => Err(Failure::Unavailable(format!(
            "the API server did not answer within {CALL_TIMEOUT:?}"
        ))),
    }
}

fn bearer(authorization: Option<&str>) -> Result<&str, &'static str> {
    let header = authorization.ok_or("no token: send \"Authorization: Bearer <projected token>\"")?;
    let (scheme, token) = header.split_once(' ').unwrap_or((header, ""));
    let token = token.trim();
    let plausible = (1..=TOKEN_LIMIT).contains(&token.len())
        && token
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'='));
    if scheme.eq_ignore_ascii_case("bearer") && plausible {
        Ok(token)
    } else {
        Err("the Authorization header has no service account token: send \"Bearer <projected token>\"")
    }
}

fn controller(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    metadata
        .owner_references
        .as_ref()?
        .iter()
        .find(|owner| owner.controller == Some(true))
}

/// API group and kind of an owner.
fn kind(owner: &OwnerReference) -> (&str, &str) {
    (
        owner.api_version.split_once('/').map_or("", |(group, _)| group),
        &owner.kind,
    )
}

fn uid(text: &str) -> Result<Uuid, Failure> {
    text.parse()
        .map_err(|_| forbidden(format!("{text:?} is not a uid")))
}

fn unauthenticated(message: String) -> Failure {
    Failure::Refused(Refusal::Unauthenticated(message))
}

fn forbidden(message: String) -> Failure {
    Failure::Refused(Refusal::Forbidden(message))
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unauthenticated(message) => Self::Unauthenticated(message),
            Refusal::Forbidden(message) => Self::Forbidden(message),
        }
    }
}

// === impl Caller ===

impl Caller {
    /// May read what belongs to a namespace.
    pub(crate) fn may_read(&self, namespace: &str) -> Result<(), ApiError> {
        match self {
            Self::Operator => Ok(()),
            Self::Trainer { namespace: own, .. } | Self::Server { namespace: own, .. }
                if own == namespace =>
            {
                Ok(())
            }
            Self::Trainer { namespace: own, .. } | Self::Server { namespace: own, .. } => {
                Err(ApiError::Forbidden(format!(
                    "a Pod of namespace {own} may not read what belongs to namespace {namespace}"
                )))
            }
        }
    }

    /// May store artifacts in a namespace.
    pub(crate) fn may_store(&self, namespace: &str) -> Result<(), ApiError> {
        match self {
            Self::Trainer { namespace: own, .. } if own == namespace => Ok(()),
            Self::Trainer { namespace: own, .. } => Err(ApiError::Forbidden(format!(
                "a Pod of namespace {own} may not store artifacts in namespace {namespace}"
            ))),
            Self::Server { .. } | Self::Operator => Err(ApiError::Forbidden(
                "only a training Job of a ModelVersion or a RemediationAction may store artifacts".into(),
            )),
        }
    }

    /// May report the result or the progress of a Job.
    pub(crate) fn may_tell(&self, namespace: &str, job: Uuid) -> Result<(), ApiError> {
        match self {
            Self::Trainer {
                namespace: own,
                job: own_job,
                ..
            } if own == namespace && *own_job == job => Ok(()),
            Self::Trainer {
                namespace: own,
                job: own_job,
                ..
            } => Err(ApiError::Forbidden(format!(
                "a Pod of Job {own_job} in namespace {own} may not speak for Job {job} in namespace {namespace}"
            ))),
            Self::Server { .. } | Self::Operator => Err(ApiError::Forbidden(format!(
                "only a Pod of Job {job} may speak for it"
            ))),
        }
    }

    /// May store, read and delete the rounds of searches. Returns the uid of the object that they belong to.
    pub(crate) fn may_search(&self, namespace: &str, job: Uuid) -> Result<Uuid, ApiError> {
        self.may_tell(namespace, job)?;
        match self {
            Self::Trainer { owner, .. } => Ok(*owner),
            Self::Server { .. } | Self::Operator => Err(ApiError::Forbidden(
                "only a training Job of a ModelVersion has searches".into(),
            )),
        }
    }

    /// May report counts and labels of a model. Returns the uid of the Pod.
    pub(crate) fn may_count(&self, namespace: &str, model: &str) -> Result<Uuid, ApiError> {
        match self {
            Self::Server {
                namespace: own,
                model: own_model,
                pod,
            } if own == namespace && own_model == model => Ok(*pod),
            Self::Server {
                namespace: own,
                model: own_model,
                ..
            } => Err(ApiError::Forbidden(format!(
                "a Pod of Model {own_model} in namespace {own} may not speak for Model {model} in namespace {namespace}"
            ))),
            Self::Trainer { .. } | Self::Operator => Err(ApiError::Forbidden(format!(
                "only a Pod of the Deployment of Model {model} may speak for it"
            ))),
        }
    }

    /// May write the record of versions.
    pub(crate) fn may_record(&self) -> Result<(), ApiError> {
        self.is_operator("record model versions")
    }

    /// May request a verdict.
    pub(crate) fn may_judge(&self) -> Result<(), ApiError> {
        self.is_operator("request the verdict of a DriftReport")
    }

    fn is_operator(&self, what: &str) -> Result<(), ApiError> {
        match self {
            Self::Operator => Ok(()),
            _ => Err(ApiError::Forbidden(format!("only the operator may {what}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bearer_token_of_plausible_shape_is_taken_to_the_api_server() {
        assert_eq!(bearer(Some("Bearer a.b-c_d")), Ok("a.b-c_d"));
        assert_eq!(bearer(Some("bearer  x")), Ok("x"));
        for header in [
            None,
            Some(""),
            Some("Bearer"),
            Some("Bearer "),
            Some("Basic YTpi"),
            Some("Bearer a b"),
        ] {
            assert!(bearer(header).is_err(), "{header:?}");
        }
        assert!(bearer(Some(&format!("Bearer {}", "x".repeat(TOKEN_LIMIT + 1)))).is_err());
    }

    #[test]
    fn a_trainer_speaks_for_its_own_job_only_and_a_server_for_its_own_model_only() {
        let (own, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let trainer = Caller::Trainer {
            namespace: "a".into(),
            job: own,
            owner: other,
        };
        assert_eq!(trainer.may_search("a", own).ok(), Some(other));
        assert!(trainer.may_search("a", other).is_err());
        assert!(Caller::Operator.may_search("a", own).is_err());
        assert!(trainer.may_tell("a", own).is_ok());
        assert!(trainer.may_tell("a", other).is_err());
        assert!(trainer.may_tell("b", own).is_err());
        assert!(trainer.may_store("a").is_ok());
        assert!(trainer.may_store("b").is_err());
        assert!(trainer.may_record().is_err());
        let server = Caller::Server {
            namespace: "a".into(),
            model: "heart".into(),
            pod: other,
        };
        assert_eq!(server.may_count("a", "heart").ok(), Some(other));
        assert!(server.may_count("a", "lung").is_err());
        assert!(server.may_count("b", "heart").is_err());
        assert!(trainer.may_count("a", "heart").is_err());
        assert!(Caller::Operator.may_count("a", "heart").is_err());
        assert!(server.may_judge().is_err());
        assert!(trainer.may_judge().is_err());
        assert!(Caller::Operator.may_judge().is_ok());
        assert!(server.may_read("a").is_ok());
        assert!(server.may_read("b").is_err());
        assert!(server.may_store("a").is_err());
        assert!(server.may_tell("a", own).is_err());
        assert!(Caller::Operator.may_read("b").is_ok());
        assert!(Caller::Operator.may_store("b").is_err());
        assert!(Caller::Operator.may_tell("b", own).is_err());
        assert!(Caller::Operator.may_record().is_ok());
    }
}
