//! Users with their own credentials.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::{
    ByteString,
    api::{
        certificates::v1::{
            CertificateSigningRequest, CertificateSigningRequestCondition, CertificateSigningRequestSpec,
        },
        rbac::v1::{RoleBinding, RoleRef, Subject},
    },
};
use kube::{
    Api, Client, Config, ResourceExt as _,
    api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use modelward_crds::{DecisionKind, RemediationAction, annotations};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    cluster::{run, words},
    story::Story,
    wait::until,
};

/// The first Kubernetes version whose API server converts the short form of a decision.
const STAMPS: u32 = 36;

/// A user, who authenticates with a client certificate.
pub struct Person {
    /// The name in the certificate.
    pub name: String,
    /// A client with the user's certificate.
    pub client: Client,
    /// A kubeconfig with the user's certificate, for kubectl.
    pub kubeconfig: PathBuf,
}

impl Story {
    /// A user with this cluster role in the namespace of the story. The key is created here, and the cluster signs the certificate.
    pub async fn person(&self, name: &str, role: &str) -> Result<Person> {
        let (key, request) = (
            self.file(&format!("{name}.key")),
            self.file(&format!("{name}.csr")),
        );
        let mut openssl = Command::new("openssl");
        openssl.args([
            "req",
            "-new",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ]);
        openssl.args(["-subj", &format!("/CN={name}"), "-keyout"]);
        let output = run(openssl.arg(&key).arg("-out").arg(&request), &[]).await?;
        ensure!(output.status.success(), "openssl req failed: {}", words(&output));
        let certificate = self.sign(name, fs::read(&request)?).await?;

        let kubeconfig = self.file(&format!("{name}.kubeconfig"));
        let view = ["config", "view", "--raw", "--minify", "--flatten", "-o", "json"];
        let view = self.cluster.kubectl(None, &view).await?;
        ensure!(view.status.success(), "kubectl config view: {}", words(&view));
        let mut config: Value = serde_json::from_slice(&view.stdout)?;
        let credentials = json!({
            "client-certificate-data": ByteString(certificate),
            "client-key-data": ByteString(fs::read(&key)?),
        });
        config["users"] = json!([{"name": name, "user": credentials}]);
        config["contexts"][0]["context"]["user"] = json!(name);
        fs::write(&kubeconfig, config.to_string())?;
        let config = Kubeconfig::read_from(&kubeconfig)?;
        let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;

        let binding = RoleBinding {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            },
            role_ref: RoleRef {
                api_group: "rbac.authorization.k8s.io".into(),
                kind: "ClusterRole".into(),
                name: role.to_owned(),
            },
            subjects: Some(vec![Subject {
                api_group: Some("rbac.authorization.k8s.io".into()),
                kind: "User".into(),
                name: name.to_owned(),
                namespace: None,
            }]),
        };
        self.create(&binding).await?;
        Ok(Person {
            name: name.to_owned(),
            client: Client::try_from(config)?,
            kubeconfig,
        })
    }

    /// Requests a client certificate from the cluster; the administrator approves the request.
    async fn sign(&self, name: &str, request: Vec<u8>) -> Result<Vec<u8>> {
        let requests = Api::<CertificateSigningRequest>::all(self.cluster.client.clone());
        let request = CertificateSigningRequest {
            metadata: ObjectMeta {
                generate_name: Some(format!("{name}-")),
                ..ObjectMeta::default()
            },
            spec: CertificateSigningRequestSpec {
                request: ByteString(request),
                signer_name: "kubernetes.io/kube-apiserver-client".into(),
                expiration_seconds: Some(86_400),
                usages: Some(vec!["client auth".into()]),
                ..CertificateSigningRequestSpec::default()
            },
            status: None,
        };
        let request = requests
            .create(&PostParams::default(), &request)
            .await?
            .name_any();
        let approval = CertificateSigningRequestCondition {
            type_: "Approved".into(),
            status: "True".into(),
            reason: Some("Story".into()),
            ..CertificateSigningRequestCondition::default()
        };
        let approval = Patch::Merge(json!({"status": {"conditions": [approval]}}));
        requests
            .patch_approval(&request, &PatchParams::default(), &approval)
            .await?;
        let what = format!("the cluster signs the certificate of {name}");
        let certificate = until(&what, Duration::from_secs(30), async || {
            let status = requests.get(&request).await?.status;
            Ok(status.and_then(|status| status.certificate))
        })
        .await?;
        requests.delete(&request, &DeleteParams::default()).await?;
        Ok(certificate.0)
    }

    /// Decides on an action as this user. The outer error is a failed request, the inner one the API server's rejection.
    pub async fn decide(
        &self,
        person: &Person,
        action: &str,
        decision: DecisionKind,
        comment: Option<&str>,
    ) -> Result<kube::Result<RemediationAction>> {
        let version = self.cluster.client.apiserver_version().await?;
        let minor: u32 = version.minor.trim_end_matches('+').parse()?;
        let written = if minor >= STAMPS {
            let short = match decision {
                DecisionKind::Approve => annotations::APPROVE,
                DecisionKind::Reject => annotations::REJECT,
            };
            let mut written = json!({short: "true"});
            if let Some(comment) = comment {
                written[annotations::COMMENT] = json!(comment);
            }
            written
        } else {
            self.long_form(person, action, decision, comment).await?
        };
        let patch = Patch::Merge(json!({"metadata": {"annotations": written}}));
        let actions = Api::<RemediationAction>::namespaced(person.client.clone(), &self.namespace);
        Ok(actions.patch(action, &PatchParams::default(), &patch).await)
    }

    /// The annotation of the next decision, in full.
    async fn long_form(
        &self,
        person: &Person,
        action: &str,
        decision: DecisionKind,
        comment: Option<&str>,
    ) -> Result<Value> {
        let action = self.all::<RemediationAction>().get(action).await?;
        let plan = action.status.as_ref().and_then(|status| status.plan.as_ref());
        let digest = &plan.context("the action has no plan")?.digest;
        let made = action.annotations().keys();
        let made = made.filter(|key| key.starts_with(annotations::DECISION_PREFIX));
        let key = format!("{}{}", annotations::DECISION_PREFIX, made.count() + 1);
        let word = match decision {
            DecisionKind::Approve => "approve",
            DecisionKind::Reject => "reject",
        };
        let comment = comment.map(|comment| format!(" # {comment}")).unwrap_or_default();
        Ok(json!({key: format!("{word} {digest} {}{comment}", person.name)}))
    }
}
