//! Reading an object of a bucket: `s3://BUCKET/KEY`, `gs://BUCKET/KEY`, `az://CONTAINER/BLOB`.
//!
//! The client is the one that reads http addresses, so the limits on what a Job may reach apply here too: to the store, to the services
//! that issue tokens, and to redirects.

use std::{fmt, pin::Pin, time::Duration};

use futures::StreamExt as _;
use modelward_crds::{Dataset, credential_keys, credential_variable};
use object_store::{
    ClientOptions, Error as StoreError, ObjectStore, ObjectStoreExt as _, RetryConfig,
    aws::AmazonS3Builder,
    azure::MicrosoftAzureBuilder,
    client::{HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService},
    gcp::GoogleCloudStorageBuilder,
    path::Path,
};
use reqwest::{Client, Url};

use crate::data::{
    reach::{OutOfReach, Reach},
    source::{Fetch, SourceError, TOTAL_TIMEOUT, client, root_cause, shown},
};

/// What a token provider of the cluster sets in a Pod besides [`credential_keys`].
const IDENTITY: [&str; 10] = [
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_ENDPOINT_URL_STS",
    "AWS_DEFAULT_REGION",
    "AZURE_CLIENT_ID",
    "AZURE_TENANT_ID",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_AUTHORITY_HOST",
    "GOOGLE_APPLICATION_CREDENTIALS",
];

/// How a dataset's bucket is opened.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// The server, if it is not the cloud's own.
    endpoint: Option<String>,
    /// The Secret that the spec names.
    secret: Option<String>,
    /// Whether it gave a key to this process.
    is_given: bool,
    /// Names of variables and their values.
    settings: Vec<(&'static str, String)>,
}

/// Whether an address is that of an object in a bucket.
pub fn is_bucket(uri: &str) -> bool {
    ["s3://", "gs://", "az://"]
        .iter()
        .any(|scheme| uri.starts_with(scheme))
}

/// Reads an object.
pub(super) async fn read(uri: &str, access: &Access, fetch: &Fetch) -> Result<Vec<u8>, SourceError> {
    let refused = |reason: String| SourceError::Address {
        name: shown(uri),
        reason,
    };
    let (scheme, rest) = uri.split_once("://").unwrap_or_default();
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    let key =
        Path::from_url_path(key).map_err(|_| refused("the key of the object is not valid".to_owned()))?;
    // A user outside of a cluster has no Secret, but their own credentials.
    let lacks_secret = !access.is_given && (fetch.reach.is_job() || access.settings.is_empty());
    if let (Some(secret), true) = (&access.secret, lacks_secret) {
        return Err(SourceError::NotFound {
            name: shown(uri),
            reason: format!(
                "Secret {secret} does not exist or has none of the keys {}",
                credential_keys(uri).collect::<Vec<_>>().join(", ")
            ),
        });
    }
    let plain = access
        .endpoint
        .as_deref()
        .is_some_and(|endpoint| endpoint.starts_with("http://"));
    let connector = Connector(Guarded {
        client: client(plain, &fetch.reach)?,
        reach: fetch.reach.clone(),
    });
    let store = match scheme {
        "s3" => access.open_s3(bucket, plain, connector),
        "gs" => access.open_gs(bucket, connector),
        _ => access.open_az(bucket, connector),
    }
    .map_err(|_| {
        refused(format!(
            "the store cannot be opened with the variables that are set; it takes {}",
            credential_keys(uri).collect::<Vec<_>>().join(", ")
        ))
    })?;
    let reading = get(&*store, &key, uri, fetch.max_bytes);
    match tokio::time::timeout(TOTAL_TIMEOUT, reading).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(Failure::TooLarge)) => Err(SourceError::TooLarge {
            name: shown(uri),
            limit: fetch.max_bytes,
        }),
        Ok(Err(Failure::Store(error))) => Err(access.explain(uri, &error)),
        Err(_) => Err(SourceError::Unreachable {
            name: shown(uri),
            reason: format!("it took more than {} s", TOTAL_TIMEOUT.as_secs()),
        }),
    }
}

/// Why an object was not read.
enum Failure {
    Store(StoreError),
    TooLarge,
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The library asks for the rest of an object whose connection breaks.
async fn get(store: &dyn ObjectStore, key: &Path, uri: &str, limit: u64) -> Result<Vec<u8>, Failure> {
    let result = store.get(key).await?;
    if result.meta.size > limit {
        return Err(Failure::TooLarge);
    }
    tracing::debug!(source = shown(uri), bytes = result.meta.size, "reading an object");
    let mut bytes = Vec::new();
    let mut stream = result.into_stream();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk?;
        if (bytes.len() + chunk.len()) as u64 > limit {
            return Err(Failure::TooLarge);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

// === impl Access ===

impl Access {
    /// The access to a dataset, from the variables of this process: those of its Secret, which a Job has under names with the dataset's
    /// index, or otherwise the standard variables of the cloud.
    pub fn of(dataset: &Dataset, index: usize, variable: impl Fn(&str) -> Option<String>) -> Self {
        let uri = dataset.uri.as_deref().unwrap_or_default();
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let own = |key: &'static str| Some((key, variable(&credential_variable(index, key))?));
        let secret = dataset
            .credentials_secret
            .as_ref()
            .map(|secret| secret.name.clone());
        let mut settings: Vec<_> = credential_keys(uri).filter_map(own).collect();
        let is_given = !settings.is_empty();
        if !is_given {
            let keys = credential_keys(uri).chain(IDENTITY);
            settings.extend(keys.filter_map(|key| Some((key, variable(key)?))));
        }
        Self {
            endpoint: dataset.endpoint.clone(),
            is_given,
            secret,
            settings,
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        let mut settings = self.settings.iter();
        settings
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.as_str())
    }

    fn starting_with(&self, prefix: &str) -> impl Iterator<Item = (String, &str)> {
        let settings = self.settings.iter();
        let own = settings.filter(move |(key, _)| key.starts_with(prefix));
        own.map(|(key, value)| (key.to_ascii_lowercase(), value.as_str()))
    }

    fn open_s3(
        &self,
        bucket: &str,
        plain: bool,
        connector: Connector,
    ) -> Result<Box<dyn ObjectStore>, StoreError> {
        // Without credentials a request is not signed. The client does not request the node's own.
        let unsigned =
            self.get("AWS_ACCESS_KEY_ID").is_none() && self.get("AWS_WEB_IDENTITY_TOKEN_FILE").is_none();
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_skip_signature(unsigned)
            .with_allow_http(plain)
            .with_retry(retries())
            .with_http_connector(connector);
        if self
            .get("AWS_REGION")
            .or(self.get("AWS_DEFAULT_REGION"))
            .is_none()
        {
            builder = builder.with_region("us-east-1");
        }
        for (key, value) in self.starting_with("AWS_") {
            builder = builder.with_config(key.parse()?, value);
        }
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint.trim_end_matches('/'));
        }
        Ok(Box::new(builder.build()?))
    }

    fn open_gs(&self, bucket: &str, connector: Connector) -> Result<Box<dyn ObjectStore>, StoreError> {
        let mut builder = GoogleCloudStorageBuilder::new()
            .with_bucket_name(bucket)
            .with_skip_signature(!self.settings.iter().any(|(key, _)| key.starts_with("GOOGLE_")))
            .with_retry(retries())
            .with_http_connector(connector);
        for (key, value) in self.starting_with("GOOGLE_") {
            builder = builder.with_config(key.parse()?, value);
        }
        Ok(Box::new(builder.build()?))
    }

    fn open_az(&self, container: &str, connector: Connector) -> Result<Box<dyn ObjectStore>, StoreError> {
        let credentials = [
            "AZURE_STORAGE_ACCOUNT_KEY",
            "AZURE_STORAGE_SAS_TOKEN",
            "AZURE_FEDERATED_TOKEN_FILE",
        ];
        let unsigned = !credentials.iter().any(|key| self.get(key).is_some());
        let mut builder = MicrosoftAzureBuilder::new()
            .with_container_name(container)
            .with_skip_signature(unsigned)
            .with_retry(retries())
            .with_http_connector(connector);
        for (key, value) in self.starting_with("AZURE_") {
            builder = builder.with_config(key.parse()?, value);
        }
        Ok(Box::new(builder.build()?))
    }

    /// What a failure means. The answer of a store is not quoted: the author of a spec chooses the server.
    fn explain(&self, uri: &str, error: &StoreError) -> SourceError {
        tracing::debug!(source = shown(uri), error = ?error, "the object was not read");
        let name = shown(uri);
        match error {
            StoreError::NotFound { .. } => SourceError::NotFound {
                name,
                reason: "there is no such object or bucket".to_owned(),
            },
            StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => {
                let who = match &self.secret {
                    Some(secret) => format!("the credentials in Secret {secret} may not read it"),
                    None if self.settings.is_empty() => {
                        "it is not public; name a Secret in credentialsSecret".to_owned()
                    }
                    None => "the credentials may not read it".to_owned(),
                };
                SourceError::NotFound { name, reason: who }
            }
            error => {
                let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
                while let Some(error) = cause {
                    if let Some(OutOfReach { reason, .. }) = error.downcast_ref() {
                        let reason = reason.clone();
                        return SourceError::Address { name, reason };
                    }
                    if let Some(error) = error.downcast_ref::<reqwest::Error>()
                        && error.is_connect()
                        && !has_out_of_reach(error)
                    {
                        let reason = root_cause(error);
                        return SourceError::Unreachable { name, reason };
                    }
                    cause = error.source();
                }
                let reason = "the store answered with an error, or stopped answering".to_owned();
                SourceError::Unreachable { name, reason }
            }
        }
    }
}

fn has_out_of_reach(error: &reqwest::Error) -> bool {
    crate::data::source::out_of_reach(error).is_some()
}

fn retries() -> RetryConfig {
    RetryConfig {
        max_retries: 3,
        retry_timeout: Duration::from_mins(2),
        ..RetryConfig::default()
    }
}

/// Gives every part of the library the same client.
#[derive(Clone)]
struct Connector(Guarded);

/// A client that reads from what is within reach.
#[derive(Clone)]
struct Guarded {
    client: Client,
    reach: Reach,
}

impl fmt::Debug for Connector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Connector")
    }
}

impl fmt::Debug for Guarded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Guarded")
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

impl HttpService for Guarded {
    // What `async_trait` makes of `async fn call`.
    fn call<'a, 'b>(
        &'a self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move {
            // A name is checked when it is resolved; an address is not resolved.
            let url = Url::parse(&request.uri().to_string())
                .map_err(|error| HttpError::new(HttpErrorKind::Request, error))?;
            if let Err(reason) = self.reach.check_url(&url) {
                let host = url.host_str().unwrap_or_default().to_owned();
                let error = OutOfReach { host, reason };
                return Err(HttpError::new(HttpErrorKind::Unknown, error));
            }
            self.client.call(request).await
        })
    }
}

#[cfg(test)]
mod tests;
