//! Blobs and manifests.

use std::time::Duration;

use anyhow::Result;
use modelward_kit::postgres::Postgres;
use modelward_wire::{ArtifactStatement, FileEntry, Manifest, ManifestKind};
use reqwest::{Method, StatusCode};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{World, bytes, digest_of, expect_success, refusal, until};

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn a_blob_is_stored_under_its_digest_and_comes_back_whole() -> Result<()> {
    let world = World::start().await?;
    let trainer = world.trainer("heart-1").await?;
    // One in a single piece, one empty, one in several parts.
    for content in [bytes(1, 100), Vec::new(), bytes(2, 12 * MIB + 17)] {
        let digest = digest_of(&content);
        let path = world.blob(&digest);
        assert_eq!(
            world.put(&trainer, &path, content.clone()).await?.status(),
            StatusCode::CREATED
        );
        assert_eq!(
            world.put(&trainer, &path, content.clone()).await?.status(),
            StatusCode::OK
        );

        let answer = expect_success(world.get(&trainer, &path).await?).await?;
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("content-length"), content.len().to_string());
        assert_eq!(header("etag"), format!("\"{digest}\""));
        assert!(header("cache-control").contains("immutable"));
        assert_eq!(answer.bytes().await?, content);

        let head = world
            .request(Method::HEAD, &path)
            .bearer_auth(&trainer.token)
            .send()
            .await?;
        assert_eq!(head.status(), StatusCode::OK);
        assert_eq!(
            head.headers()["content-length"],
            content.len().to_string().as_str()
        );

        let known = world.request(Method::GET, &path).bearer_auth(&trainer.token);
        let known = known
            .header("if-none-match", format!("\"{digest}\""))
            .send()
            .await?;
        assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
    }
    Ok(())
}

#[tokio::test]
async fn bytes_of_another_digest_are_refused_and_leave_nothing() -> Result<()> {
    let world = World::start().await?;
    let trainer = world.trainer("heart-1").await?;
    for length in [100, 12 * MIB] {
        let path = world.blob(&digest_of(b"something else"));
        let answer = world.put(&trainer, &path, bytes(3, length)).await?;
        let sentence = refusal(answer, StatusCode::UNPROCESSABLE_ENTITY).await?;
        assert!(
            sentence.contains(&digest_of(&bytes(3, length)).to_string()),
            "{sentence}"
        );
        refusal(world.get(&trainer, &path).await?, StatusCode::NOT_FOUND).await?;
    }
    until("an empty store", async || Ok(world.files().is_empty())).await
}

#[tokio::test]
async fn a_truncated_upload_leaves_nothing() -> Result<()> {
    let world = World::start().await?;
    let trainer = world.trainer("heart-1").await?;
    let content = bytes(4, 12 * MIB);
    let path = world.blob(&digest_of(&content));
    let head = format!(
        "PUT {path} HTTP/1.1\r\nHost: ledger\r\nAuthorization: Bearer {}\r\n",
        trainer.token
    );

    // A sender that dies after some parts. The length was declared.
    let mut sender = TcpStream::connect(world.addr).await?;
    sender
        .write_all(format!("{head}Content-Length: {}\r\n\r\n", content.len()).as_bytes())
        .await?;
    sender.write_all(&content[..11 * MIB]).await?;
    until("a staged file", async || {
        Ok(world.files().iter().any(|file| file.contains('#')))
    })
    .await?;
    refusal(world.get(&trainer, &path).await?, StatusCode::NOT_FOUND).await?;
    drop(sender);
    until("an empty store", async || Ok(world.files().is_empty())).await?;

    // With chunked encoding, without a declared length.
    let mut sender = TcpStream::connect(world.addr).await?;
    sender
        .write_all(format!("{head}Transfer-Encoding: chunked\r\n\r\nA0000\r\n").as_bytes())
        .await?;
    sender.write_all(&content[..0xA_0000]).await?;
    sender.shutdown().await?;
    let mut answer = String::new();
    let _ = sender.read_to_string(&mut answer).await;
    assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    refusal(world.get(&trainer, &path).await?, StatusCode::NOT_FOUND).await?;
    until("an empty store", async || Ok(world.files().is_empty())).await
}

#[tokio::test]
async fn what_is_too_large_is_refused_with_its_limit() -> Result<()> {
    let world = World::with(Postgres::shared().await?, |config| {
        config.max_blob_bytes = 6_000_000;
        config.max_manifest_bytes = 1000;
    })
    .await?;
    let trainer = world.trainer("heart-1").await?;
    let content = bytes(5, 6_000_001);
    let path = world.blob(&digest_of(&content));
    let sentence = refusal(
        world.put(&trainer, &path, content.clone()).await?,
        StatusCode::PAYLOAD_TOO_LARGE,
    )
    .await?;
    assert!(sentence.contains("6000000"), "{sentence}");
    // Without a declared length it is detected while reading.
    let pieces: Vec<_> = content
        .chunks(100_000)
        .map(|piece| Ok::<_, std::io::Error>(piece.to_vec()))
        .collect();
    let body = reqwest::Body::wrap_stream(futures::stream::iter(pieces));
    refusal(
        world.put(&trainer, &path, body).await?,
        StatusCode::PAYLOAD_TOO_LARGE,
    )
    .await?;
    until("an empty store", async || Ok(world.files().is_empty())).await?;
    let manifest = bytes(6, 1001);
    let answer = world
        .put(&trainer, &world.manifest(&digest_of(&manifest)), manifest)
        .await?;
    refusal(answer, StatusCode::PAYLOAD_TOO_LARGE).await?;
    assert_eq!(
        world
            .put(
                &trainer,
                &world.blob(&digest_of(&content[1..])),
                content[1..].to_vec()
            )
            .await?
            .status(),
        201
    );
    Ok(())
}

#[tokio::test]
async fn a_manifest_waits_for_its_blobs_and_names_those_that_lack() -> Result<()> {
    let world = World::start().await?;
    let trainer = world.trainer("heart-1").await?;
    let (first, second) = (bytes(7, 1000), bytes(8, 2000));
    let file = |path: &str, content: &[u8]| FileEntry {
        path: path.into(),
        sha256: digest_of(content),
        size: content.len() as u64,
    };
    let files = vec![file("model.json", &first), file("schema.json", &second)];
    let manifest = serde_json::to_vec(&Manifest::new(ManifestKind::Bundle, files)?)?;
    let digest = digest_of(&manifest);
    let path = world.manifest(&digest);

    world
        .put(&trainer, &world.blob(&digest_of(&first)), first.clone())
        .await?;
    let answer = world.put(&trainer, &path, manifest.clone()).await?;
    assert_eq!(answer.status(), StatusCode::CONFLICT);
    let body: serde_json::Value = answer.json().await?;
    assert_eq!(body["missing"], serde_json::json!([digest_of(&second)]));
    let sentence = body["error"].as_str().unwrap();
    assert!(
        sentence.contains("schema.json") && !sentence.contains("model.json"),
        "{sentence}"
    );
    refusal(world.get(&trainer, &path).await?, StatusCode::NOT_FOUND).await?;

    world
        .put(&trainer, &world.blob(&digest_of(&second)), second.clone())
        .await?;
    assert_eq!(
        world.put(&trainer, &path, manifest.clone()).await?.status(),
        StatusCode::CREATED
    );
    assert_eq!(
        world.put(&trainer, &path, manifest.clone()).await?.status(),
        StatusCode::OK
    );
    let answer = expect_success(world.get(&trainer, &path).await?).await?;
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_eq!(
        answer.bytes().await?,
        manifest,
        "the bytes are never written anew"
    );

    // The size does not match the blob.
    let mut lie = file("model.json", &first);
    lie.size += 1;
    let manifest = serde_json::to_vec(&Manifest::new(ManifestKind::Bundle, vec![lie])?)?;
    let answer = world
        .put(&trainer, &world.manifest(&digest_of(&manifest)), manifest)
        .await?;
    let sentence = refusal(answer, StatusCode::UNPROCESSABLE_ENTITY).await?;
    assert!(
        sentence.contains("1001") && sentence.contains("1000"),
        "{sentence}"
    );
    // Not a manifest, a path that leaves its directory, or another digest.
    let outside = format!(
        r#"{{"format":1,"kind":"Bundle","files":[{{"path":"../x","sha256":"{}","size":1000}}]}}"#,
        digest_of(&first)
    );
    for content in [&b"{}"[..], b"not json", outside.as_bytes()] {
        let answer = world
            .put(&trainer, &world.manifest(&digest_of(content)), content.to_vec())
            .await?;
        refusal(answer, StatusCode::UNPROCESSABLE_ENTITY).await?;
    }
    let answer = world
        .put(&trainer, &world.manifest(&digest_of(b"other")), b"{}".to_vec())
        .await?;
    refusal(answer, StatusCode::UNPROCESSABLE_ENTITY).await?;
    Ok(())
}

#[tokio::test]
async fn many_may_store_one_blob_at_the_same_moment() -> Result<()> {
    let world = World::start().await?;
    let trainer = world.trainer("heart-1").await?;
    let content = bytes(9, 7 * MIB);
    let path = world.blob(&digest_of(&content));
    let puts = (0..8).map(|_| world.put(&trainer, &path, content.clone()));
    for answer in futures::future::try_join_all(puts).await? {
        assert!(answer.status().is_success(), "{}", answer.status());
    }
    assert_eq!(world.get(&trainer, &path).await?.bytes().await?, content);
    assert_eq!(world.files().len(), 1, "{:?}", world.files());
    Ok(())
}

#[tokio::test]
async fn storing_again_heals_a_file_that_rotted() -> Result<()> {
    let world = World::start().await?;
    let trainer = world.trainer("heart-1").await?;
    let content = bytes(10, 1000);
    let path = world.blob(&digest_of(&content));
    world.put(&trainer, &path, content.clone()).await?;
    std::fs::write(world.artifacts.join(&world.files()[0]), b"rotten")?;
    assert_eq!(
        world.put(&trainer, &path, content.clone()).await?.status(),
        StatusCode::OK
    );
    assert_eq!(world.get(&trainer, &path).await?.bytes().await?, content);
    Ok(())
}

#[tokio::test]
async fn an_address_that_could_leave_the_store_is_refused() -> Result<()> {
    let world = World::start().await?;
    let trainer = world.trainer("heart-1").await?;
    let digest = digest_of(b"x");
    let upper = digest.to_string().replace("sha256:", "sha256:A");
    for path in [
        format!("/v1/artifacts/a%2Fb/blobs/{digest}"),
        format!("/v1/artifacts/A/blobs/{digest}"),
        format!("/v1/artifacts/%ff/blobs/{digest}"),
        format!("/v1/artifacts/{}/blobs/{upper}", world.namespace),
        format!("/v1/artifacts/{}/blobs/sha256:..%2F..%2Fx", world.namespace),
        format!("/v1/jobs/{}/not-a-uid/result", world.namespace),
    ] {
        let answer = world.put(&trainer, &path, b"x".to_vec()).await?;
        refusal(answer, StatusCode::BAD_REQUEST)
            .await
            .map_err(|error| error.context(path))?;
    }
    // A client would normalize these before it sends them.
    for namespace in ["..", "%2e%2e", "."] {
        let mut raw = TcpStream::connect(world.addr).await?;
        let head = format!("PUT /v1/artifacts/{namespace}/blobs/{digest} HTTP/1.1\r\nHost: ledger\r\n");
        let head = format!(
            "{head}Authorization: Bearer {}\r\nContent-Length: 1\r\n\r\nx",
            trainer.token
        );
        raw.write_all(head.as_bytes()).await?;
        let mut answer = vec![0; 64];
        let length = raw.read(&mut answer).await?;
        assert!(
            answer[..length].starts_with(b"HTTP/1.1 400"),
            "{:?}",
            String::from_utf8_lossy(&answer)
        );
    }
    refusal(world.get(&trainer, "/v2").await?, StatusCode::NOT_FOUND).await?;
    let answer = world
        .request(Method::DELETE, &world.blob(&digest))
        .bearer_auth(&trainer.token)
        .send()
        .await?;
    refusal(answer, StatusCode::METHOD_NOT_ALLOWED).await?;
    assert!(world.files().is_empty());
    Ok(())
}

#[tokio::test]
async fn silence_ends_an_upload_and_a_download_but_slowness_does_not() -> Result<()> {
    let world = World::with(Postgres::shared().await?, |config| {
        config.idle_timeout = Duration::from_secs(1);
    })
    .await?;
    let trainer = world.trainer("heart-1").await?;
    let content = bytes(11, 48 * MIB);
    let path = world.blob(&digest_of(&content));

    // Five pieces in two seconds: longer than the timeout in total, but not in a single wait.
    let small = bytes(12, 500);
    let pieces = futures::stream::unfold(small.clone(), |mut rest| async move {
        tokio::time::sleep(Duration::from_millis(400)).await;
        let piece: Vec<u8> = rest.drain(..rest.len().min(100)).collect();
        (!piece.is_empty()).then_some((Ok::<_, std::io::Error>(piece), rest))
    });
    let slow = world
        .put(
            &trainer,
            &world.blob(&digest_of(&small)),
            reqwest::Body::wrap_stream(pieces),
        )
        .await?;
    assert_eq!(slow.status(), StatusCode::CREATED);

    // A sender that pauses for too long gets an error.
    let mut silent = TcpStream::connect(world.addr).await?;
    let head = format!(
        "{path} HTTP/1.1\r\nHost: ledger\r\nAuthorization: Bearer {}\r\n",
        trainer.token
    );
    silent
        .write_all(format!("PUT {head}Content-Length: {}\r\n\r\nabc", content.len()).as_bytes())
        .await?;
    let mut answer = vec![0; 64];
    let length = silent.read(&mut answer).await?;
    assert!(
        answer[..length].starts_with(b"HTTP/1.1 408"),
        "{:?}",
        String::from_utf8_lossy(&answer)
    );

    // A receiver that makes no progress loses its connection and gets an incomplete body.
    world.put(&trainer, &path, content.clone()).await?;
    let mut stalled = TcpStream::connect(world.addr).await?;
    stalled.write_all(format!("GET {head}\r\n").as_bytes()).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut received = Vec::new();
    let _ = stalled.read_to_end(&mut received).await;
    assert!(
        received.starts_with(b"HTTP/1.1 200") && received.len() < content.len(),
        "{} bytes",
        received.len()
    );
    Ok(())
}

#[tokio::test]
async fn an_artifact_states_what_it_was_made_from_by_its_own_bytes() -> Result<()> {
    let world = World::start().await?;
    let (trainer, operator) = (world.trainer("heart-1").await?, world.operator().await?);
    let snapshot = digest_of(b"snapshot");
    let info = serde_json::json!({
        "format": 1, "model": "heart", "family": "LogisticRegression", "threshold": "0.5", "snapshot": snapshot,
        "rows": 303, "positiveRows": 139, "selectedBy": "F1", "training": digest_of(b"training"),
        "metrics": [{"name": "F1", "mean": "0.815100", "standardError": "0.0112"}],
        "gates": [{"metric": "F1", "bound": "atLeast 0.75", "value": "0.815100", "passed": true}],
    });
    let info = serde_json::to_vec(&info)?;
    let digest = world
        .publish_files(&trainer, &[("bundle.json", &info), ("model.json", b"model")])
        .await?;
    let path = format!("/v1/artifacts/{}/statements/{digest}", world.namespace);
    let stated: ArtifactStatement = expect_success(world.get(&operator, &path).await?)
        .await?
        .json()
        .await?;
    assert_eq!(stated.kind, ManifestKind::Bundle);
    assert_eq!(stated.stated.snapshot, Some(snapshot));
    assert_eq!(stated.stated.metrics[0].mean.as_str(), "0.815100");
    assert!(stated.stated.gates[0].passed);

    let nothing = world.publish(&trainer, b"no statement").await?;
    let path = format!("/v1/artifacts/{}/statements/{nothing}", world.namespace);
    let sentence = refusal(
        world.get(&operator, &path).await?,
        StatusCode::UNPROCESSABLE_ENTITY,
    )
    .await?;
    assert!(sentence.contains("has no bundle.json"), "{sentence}");
    let absent = digest_of(b"absent");
    let path = format!("/v1/artifacts/{}/statements/{absent}", world.namespace);
    refusal(world.get(&operator, &path).await?, StatusCode::NOT_FOUND).await?;
    Ok(())
}
