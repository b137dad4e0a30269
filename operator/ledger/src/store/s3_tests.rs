//! The store on S3: a real server of the protocol that checks signatures and stores files in a directory.

use axum::{body::Body, extract::Request};
use futures::TryStreamExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use tokio::net::TcpListener;

use super::*;

struct S3 {
    directory: tempfile::TempDir,
    endpoint: String,
    _server: tokio::task::JoinSet<()>,
}

impl S3 {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("bucket")).unwrap();
        let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(directory.path()).unwrap());
        service.set_auth(SimpleAuth::from_single("key", "secret"));
        let service = service.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let mut server = tokio::task::JoinSet::new();
        server.spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let http = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                let service = service.clone();
                connections.spawn(async move {
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self {
            directory,
            endpoint,
            _server: server,
        }
    }

    fn store(&self, secret: &str) -> Store {
        let environment = [
            ("AWS_ENDPOINT", self.endpoint.as_str()),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_ACCESS_KEY_ID", "key"),
            ("AWS_SECRET_ACCESS_KEY", secret),
            ("HOME", "/"),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Store::open_with("s3://bucket/some/prefix/", environment.into_iter()).unwrap()
    }

    /// Files of complete objects.
    fn objects(&self) -> usize {
        let mut directories = vec![self.directory.path().join("bucket")];
        let mut count = 0;
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap().flatten() {
                if entry.path().is_dir() {
                    directories.push(entry.path());
                } else {
                    count += 1;
                }
            }
        }
        count
    }
}

fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}

fn body(bytes: &[u8]) -> Incoming {
    Incoming::new(
        Request::new(Body::from(bytes.to_vec())),
        "blob",
        u64::MAX,
        Duration::from_secs(5),
    )
    .unwrap()
}

#[tokio::test]
async fn blobs_and_manifests_live_in_a_bucket_too() {
    let s3 = S3::start().await;
    let store = s3.store("secret");
    store.check().await.unwrap();
    assert!(store.namespaces().await.unwrap().is_empty());
    // One object in a single request, one in three parts.
    for content in [b"small".to_vec(), vec![7; 2 * PART + 1]] {
        let digest = digest_of(&content);
        assert!(
            store
                .head("hospital", Kind::Blob, &digest)
                .await
                .unwrap()
                .is_none()
        );
        for expected in [Stored::Created, Stored::Again] {
            let stored = store
                .put_blob("hospital", &digest, &mut body(&content))
                .await
                .unwrap();
            assert_eq!(stored, expected);
        }
        let found = store.get("hospital", Kind::Blob, &digest).await.unwrap().unwrap();
        assert_eq!(found.meta.size, content.len() as u64);
        assert_eq!(found.bytes().await.unwrap(), content);
        assert!(store.get("clinic", Kind::Blob, &digest).await.unwrap().is_none());
    }
    let manifest = bytes::Bytes::from_static(b"{}");
    store
        .put(
            "hospital",
            Kind::Manifest,
            &digest_of(&manifest),
            manifest.clone(),
        )
        .await
        .unwrap();
    assert_eq!(store.namespaces().await.unwrap(), ["hospital"]);
    let listed: Vec<_> = store.manifests("hospital").try_collect().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].0, digest_of(&manifest));
}

#[tokio::test]
async fn bytes_of_another_digest_never_appear_in_the_bucket() {
    let s3 = S3::start().await;
    let store = s3.store("secret");
    let digest = digest_of(b"something else");
    for length in [10, 2 * PART + 1] {
        let refused = store
            .put_blob("hospital", &digest, &mut body(&vec![7; length]))
            .await;
        assert!(matches!(refused, Err(ApiError::Unprocessable(_))), "{refused:?}");
        assert!(
            store
                .head("hospital", Kind::Blob, &digest)
                .await
                .unwrap()
                .is_none()
        );
        assert_eq!(s3.objects(), 0);
    }
}

#[tokio::test]
async fn a_bucket_that_refuses_or_does_not_answer_is_named() {
    let s3 = S3::start().await;
    let why = s3.store("wrong").check().await.unwrap_err();
    assert!(why.contains("credentials"), "{why}");
    let gone = S3 {
        endpoint: "http://127.0.0.1:9".into(),
        ..s3
    };
    let why = gone.store("secret").check().await.unwrap_err();
    assert!(why.contains("does not answer"), "{why}");
}
