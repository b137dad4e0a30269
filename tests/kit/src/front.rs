//! A fake of the network path from a client through a Service to a Pod, because a bare API server has no network.
//!
//! `<url>/<namespace>/<service>/…` responds as the Pods of that Service would: depending on the Service's selector, type and
//! address and on the ready Pods, with the digest of the routes file of a Pod.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use kube::{Api, Client, ResourceExt as _, api::ListParams};
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// The fake network path; it ends when this is dropped.
pub struct Front {
    /// Its address, without a trailing slash.
    pub url: String,
    task: JoinHandle<()>,
}

/// How long a caching front remembers that a Service has no ready Pod.
const AGAIN: Duration = Duration::from_secs(2);

/// The digests found, by namespace and Service, with the time.
type Memory = Arc<Mutex<BTreeMap<(String, String), (Instant, Option<String>)>>>;

// === impl Front ===

impl Front {
    /// Serves all namespaces that this client may read.
    pub async fn start(client: Client) -> Result<Self> {
        Self::answering(client, None).await
    }

    /// The same, but a successful response is cached forever: hundreds of models that are probed every few seconds would overload
    /// the API server.
    pub async fn remembering(client: Client) -> Result<Self> {
        Self::answering(client, Some(Memory::default())).await
    }

    async fn answering(client: Client, memory: Option<Memory>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (client, memory) = (client.clone(), memory.clone());
                tokio::spawn(async move {
                    let _ = answer(&client, memory.as_ref(), stream).await;
                });
            }
        });
        Ok(Self { url, task })
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(client: &Client, memory: Option<&Memory>, mut stream: TcpStream) -> Result<()> {
    let mut head = vec![0; 2048];
    let read = stream.read(&mut head).await?;
    let head = String::from_utf8_lossy(&head[..read]).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default();
    let mut parts = path.split('/').skip(1);
    let (namespace, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let found = match memory {
        Some(memory) => remembered(client, memory, namespace, name).await?,
        None => digest(client, namespace, name).await?,
    };
    let (status, header) = match found {
        Some(digest) => ("200 OK", format!("modelward-routes-digest: {digest}\r\n")),
        // A real Service would refuse the connection; here all Services share one address.
        None => ("502 Bad Gateway", String::new()),
    };
    let text = format!("HTTP/1.1 {status}\r\n{header}content-length: 0\r\nconnection: close\r\n\r\n");
    Ok(stream.write_all(text.as_bytes()).await?)
}

/// The cached digest, or else the current one.
async fn remembered(client: &Client, memory: &Memory, namespace: &str, name: &str) -> Result<Option<String>> {
    let key = (namespace.to_owned(), name.to_owned());
    let known = memory
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get(&key)
        .cloned();
    if let Some((at, found)) = known
        && (found.is_some() || at.elapsed() < AGAIN)
    {
        return Ok(found);
    }
    let found = digest(client, namespace, name).await?;
    let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
    memory.insert(key, (Instant::now(), found.clone()));
    Ok(found)
}

/// The digest of the routes that the first ready Pod of a Service serves.
async fn digest(client: &Client, namespace: &str, name: &str) -> Result<Option<String>> {
    let services = Api::<Service>::namespaced(client.clone(), namespace);
    let Some(service) = services.get_opt(name).await?.and_then(|service| service.spec) else {
        return Ok(None);
    };
    let address = service.cluster_ip.as_deref().unwrap_or_default();
    if service.type_.as_deref() == Some("ExternalName") || matches!(address, "" | "None") {
        return Ok(None);
    }
    let selector: Vec<_> = service
        .selector
        .unwrap_or_default()
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let pods = Api::<Pod>::namespaced(client.clone(), namespace);
    let behind = ListParams::default().labels(&selector.join(","));
    let pods = pods.list(&behind).await?;
    let Some(pod) = pods.iter().find(|pod| is_ready(pod)) else {
        return Ok(None);
    };
    let spec = pod.spec.as_ref().context("a Pod has a spec")?;
    let map = spec
        .volumes
        .iter()
        .flatten()
        .find(|volume| volume.name == "routes")
        .and_then(|volume| volume.config_map.clone());
    let Some(map) = map else { return Ok(None) };
    let maps = Api::<ConfigMap>::namespaced(client.clone(), namespace);
    let Some(routes) = maps.get_opt(&map.name).await? else {
        return Ok(None);
    };
    let key = map
        .items
        .iter()
        .flatten()
        .find(|item| item.path == "routes.json")
        .map_or("routes.json", |item| item.key.as_str());
    let content = routes.data.unwrap_or_default().remove(key).unwrap_or_default();
    let digest = format!("sha256:{}", hex::encode(Sha256::digest(content.as_bytes())));
    // A server rejects routes that it was not configured for.
    let variables: BTreeMap<_, _> = spec
        .containers
        .iter()
        .flat_map(|container| container.env.iter().flatten())
        .map(|variable| {
            (
                variable.name.as_str(),
                variable.value.as_deref().unwrap_or_default(),
            )
        })
        .collect();
    let configured = variables.get("MODELWARD_ROUTES_DIGEST");
    Ok(Some(digest).filter(|digest| configured.is_none_or(|configured| configured == digest)))
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    pod.metadata.deletion_timestamp.is_none()
        && !pod.name_any().is_empty()
        && conditions
            .into_iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

#[cfg(test)]
mod tests {
    use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
    use serde_json::{Value, json};

    use super::*;
    use crate::apiserver::ApiServer;

    fn object<K: serde::de::DeserializeOwned>(content: Value) -> K {
        serde_json::from_value(content).unwrap()
    }

    /// The status line of a response.
    async fn ask(front: &Front, namespace: &str) -> String {
        let mut stream = TcpStream::connect(front.url.trim_start_matches("http://"))
            .await
            .unwrap();
        let request = format!("GET /{namespace}/heart/ HTTP/1.1\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.lines().next().unwrap_or_default().to_owned()
    }

    #[tokio::test]
    async fn what_answered_once_answers_a_front_that_remembers_and_no_other() {
        let server = ApiServer::shared().await;
        let (kube, namespace) = (server.client(), server.namespace().await);
        let params = PostParams::default();
        let service = json!({
            "metadata": {"name": "heart"}, "spec": {"selector": {"app": "heart"}, "ports": [{"port": 80}]},
        });
        Api::<Service>::namespaced(kube.clone(), &namespace)
            .create(&params, &object(service))
            .await
            .unwrap();
        let (plain, remembering) = (
            Front::start(kube.clone()).await.unwrap(),
            Front::remembering(kube.clone()).await.unwrap(),
        );
        assert!(ask(&plain, &namespace).await.contains("502"));

        let routes = json!({"metadata": {"name": "routes"}, "data": {"routes.json": "{}"}});
        Api::<ConfigMap>::namespaced(kube.clone(), &namespace)
            .create(&params, &object(routes))
            .await
            .unwrap();
        let pods = Api::<Pod>::namespaced(kube.clone(), &namespace);
        let pod = json!({
            "metadata": {"name": "heart", "labels": {"app": "heart"}},
            "spec": {
                "containers": [{"name": "inference", "image": "played"}],
                "volumes": [{"name": "routes", "configMap": {"name": "routes"}}],
            },
        });
        pods.create(&params, &object(pod)).await.unwrap();
        let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        pods.patch_status("heart", &PatchParams::default(), &Patch::Merge(ready))
            .await
            .unwrap();
        for front in [&plain, &remembering] {
            assert!(ask(front, &namespace).await.contains("200"));
        }

        let now = DeleteParams::default().grace_period(0);
        pods.delete("heart", &now).await.unwrap();
        assert!(ask(&plain, &namespace).await.contains("502"));
        assert!(ask(&remembering, &namespace).await.contains("200"));
    }
}
