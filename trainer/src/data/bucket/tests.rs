use hyper_util::rt::{TokioExecutor, TokioIo};
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use serde_json::json;
use tokio::net::TcpListener;

use super::*;

/// A server of S3's protocol that checks signatures, with a bucket "data" on a directory.
struct S3 {
    directory: tempfile::TempDir,
    endpoint: String,
}

impl S3 {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("data")).unwrap();
        let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(directory.path()).unwrap());
        service.set_auth(SimpleAuth::from_single("key", "secret"));
        let service = service.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let http = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                let service = service.clone();
                tokio::spawn(async move {
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { directory, endpoint }
    }
}

fn dataset(uri: &str, endpoint: Option<&str>, secret: Option<&str>) -> Dataset {
    let mut object = json!({"uri": uri});
    if let Some(endpoint) = endpoint {
        object["endpoint"] = json!(endpoint);
    }
    if let Some(secret) = secret {
        object["credentialsSecret"] = json!({"name": secret});
    }
    serde_json::from_value(object).unwrap()
}

/// Reads as a process with these variables.
async fn read_with(
    dataset: &Dataset,
    variables: &[(&str, &str)],
    reach: Reach,
) -> Result<Vec<u8>, SourceError> {
    let variable = |name: &str| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    let access = Access::of(dataset, 2, variable);
    read(dataset.uri.as_deref().unwrap(), &access, &Fetch::within(reach)).await
}

#[tokio::test]
async fn an_object_is_read_with_the_credentials_of_its_own_secret() {
    let server = S3::start().await;
    std::fs::write(server.directory.path().join("data/a b.csv"), "a,b\n1,2\n").unwrap();
    let dataset = dataset("s3://data/a%20b.csv", Some(&server.endpoint), Some("store"));
    let of_secret = [
        ("MODELWARD_SOURCE_2_AWS_ACCESS_KEY_ID", "key"),
        ("MODELWARD_SOURCE_2_AWS_SECRET_ACCESS_KEY", "secret"),
        // Those of the Pod do not count then.
        ("AWS_ACCESS_KEY_ID", "other"),
        ("AWS_SECRET_ACCESS_KEY", "other"),
    ];
    let bytes = read_with(&dataset, &of_secret, Reach::anywhere()).await.unwrap();
    assert_eq!(bytes, b"a,b\n1,2\n");
    let own = [("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", "secret")];
    let bytes = read_with(&dataset, &own, Reach::anywhere()).await.unwrap();
    assert_eq!(bytes, b"a,b\n1,2\n", "at a desk there is no Secret");
    // In a Job the identity of the Pod does not take its place.
    let reach = Reach::of_job("127.0.0.0/8".parse().unwrap(), "".parse().unwrap(), None);
    let error = read_with(&dataset, &own, reach).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("Secret store does not exist or has none"),
        "{error}"
    );
}

#[tokio::test]
async fn what_is_not_there_or_not_given_is_named_with_the_way_out() {
    let server = S3::start().await;
    std::fs::write(server.directory.path().join("data/x.csv"), "a\n").unwrap();
    let at = |key: &str, secret| dataset(&format!("s3://data/{key}"), Some(&server.endpoint), secret);
    let wrong = [
        ("MODELWARD_SOURCE_2_AWS_ACCESS_KEY_ID", "key"),
        ("MODELWARD_SOURCE_2_AWS_SECRET_ACCESS_KEY", "wrong"),
    ];
    let right = [wrong[0], ("MODELWARD_SOURCE_2_AWS_SECRET_ACCESS_KEY", "secret")];
    for (dataset, variables, expected) in [
        (
            at("y.csv", Some("store")),
            &right[..],
            "there is no such object or bucket",
        ),
        (
            at("x.csv", Some("store")),
            &wrong[..],
            "Secret store may not read it",
        ),
        (
            at("x.csv", Some("store")),
            &[][..],
            "Secret store does not exist or has none of the keys AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY",
        ),
        (
            at("x.csv", None),
            &[][..],
            "it is not public; name a Secret in credentialsSecret",
        ),
    ] {
        let error = read_with(&dataset, variables, Reach::anywhere())
            .await
            .unwrap_err();
        assert!(
            matches!(error, SourceError::NotFound { .. }),
            "{expected}: {error:?}"
        );
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn a_job_reads_no_bucket_of_its_own_node_or_of_a_refused_range() {
    let server = S3::start().await;
    std::fs::write(server.directory.path().join("data/x.csv"), "a\n").unwrap();
    let reach = |allowed: &str| {
        let ledger = Some("http://ledger.modelward-system:8090");
        Reach::of_job(allowed.parse().unwrap(), "192.0.2.0/24".parse().unwrap(), ledger)
    };
    let named = server.endpoint.replace("127.0.0.1", "localhost");
    let keys = [("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", "secret")];
    for endpoint in [
        &server.endpoint,
        &named,
        "http://169.254.169.254",
        "http://192.0.2.7:9000",
        "http://ledger.modelward-system:8090",
    ] {
        let dataset = dataset("s3://data/x.csv", Some(endpoint), None);
        let error = read_with(&dataset, &keys, reach("")).await.unwrap_err();
        assert!(
            matches!(error, SourceError::Address { .. }),
            "{endpoint}: {error:?}"
        );
        assert!(
            error.to_string().contains("datasets are not read from"),
            "{error}"
        );
    }
    let dataset = dataset("s3://data/x.csv", Some(&server.endpoint), None);
    assert_eq!(
        read_with(&dataset, &keys, reach("127.0.0.0/8")).await.unwrap(),
        b"a\n"
    );
}

#[tokio::test]
async fn without_credentials_the_node_is_not_asked_for_its_own() {
    // Nothing listens there; a request to the metadata service would be refused with its address.
    let dataset = dataset("s3://data/x.csv", Some("http://127.0.0.1:1"), None);
    let reach = Reach::of_job("127.0.0.0/8".parse().unwrap(), "".parse().unwrap(), None);
    let error = read_with(&dataset, &[], reach).await.unwrap_err();
    assert!(matches!(error, SourceError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn each_cloud_takes_its_own_keys_and_says_which() {
    let dataset = dataset("az://data/x.csv", None, None);
    let error = read_with(&dataset, &[], Reach::anywhere()).await.unwrap_err();
    assert!(
        error.to_string().contains("AZURE_STORAGE_ACCOUNT_NAME"),
        "{error}"
    );
    let keys = |uri| credential_keys(uri).collect::<Vec<_>>();
    assert_eq!(keys("gs://data/x.csv"), ["GOOGLE_SERVICE_ACCOUNT_KEY"]);
    assert!(keys("s3://data/x.csv").iter().all(|key| key.starts_with("AWS_")));
    assert_eq!(keys("https://data/x.csv"), [""; 0]);
}
