//! Authentication and authorization of callers.

use std::time::Duration;

use anyhow::Result;
use kube::api::{DeleteParams, Patch, PatchParams};
use modelward_kit::{
    apiserver::{ApiServer, User},
    postgres::Postgres,
};
use modelward_ledger::{Config, Ledger};
use modelward_wire::{JobResult, JobStage, Verdict};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::{
    AUDIENCE, Caller, World, bytes, digest_of, expect_success, owner, owner_of_job, refusal,
};

fn result() -> String {
    json!(JobResult::new(JobStage::Fit, Verdict::Succeeded, "fine")).to_string()
}

fn caller(token: String) -> Caller {
    Caller {
        token,
        job: String::new(),
        pod: String::new(),
    }
}

#[tokio::test]
async fn each_caller_may_do_what_is_its_own() -> Result<()> {
    let world = World::start().await?;
    let (trainer, server, operator) = (
        world.trainer("heart-1").await?,
        world.server("heart").await?,
        world.operator().await?,
    );
    let content = bytes(30, 100);
    let path = world.blob(&digest_of(&content));

    expect_success(world.put(&trainer, &path, content.clone()).await?).await?;
    for reader in [&trainer, &server, &operator] {
        expect_success(world.get(reader, &path).await?).await?;
    }
    for stranger in [&server, &operator] {
        refusal(
            world.put(stranger, &path, content.clone()).await?,
            StatusCode::FORBIDDEN,
        )
        .await?;
        refusal(
            world.put(stranger, &world.result(&trainer.job), result()).await?,
            StatusCode::FORBIDDEN,
        )
        .await?;
    }
    expect_success(world.put(&trainer, &world.result(&trainer.job), result()).await?).await?;
    expect_success(world.get(&operator, &world.result(&trainer.job)).await?).await?;
    let version = format!("/v1/model-versions/{}/{}", world.namespace, trainer.job);
    for stranger in [&server, &trainer] {
        refusal(world.put(stranger, &version, "{}").await?, StatusCode::FORBIDDEN).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_trainer_speaks_for_no_other_job_and_no_other_namespace() -> Result<()> {
    let world = World::start().await?;
    let (first, second) = (world.trainer("heart-1").await?, world.trainer("heart-2").await?);
    let sentence = refusal(
        world.put(&first, &world.result(&second.job), result()).await?,
        StatusCode::FORBIDDEN,
    )
    .await?;
    assert!(
        sentence.contains(&first.job) && sentence.contains(&second.job),
        "{sentence}"
    );
    let other = world.api.namespace().await;
    let digest = digest_of(b"x");
    for path in [
        format!("/v1/artifacts/{other}/blobs/{digest}"),
        format!("/v1/jobs/{other}/{}/result", first.job),
        format!("/v1/jobs/{other}/{}/progress", first.job),
    ] {
        refusal(
            world.put(&first, &path, b"x".to_vec()).await?,
            StatusCode::FORBIDDEN,
        )
        .await?;
        refusal(world.get(&first, &path).await?, StatusCode::FORBIDDEN).await?;
    }
    let list = format!("/v1/model-versions/{other}");
    refusal(world.get(&first, &list).await?, StatusCode::FORBIDDEN).await?;
    Ok(())
}

#[tokio::test]
async fn without_a_good_token_nothing_is_answered() -> Result<()> {
    let world = World::start().await?;
    let trainer = world.trainer("heart-1").await?;
    let pod = world.pods().get(&trainer.pod).await?;
    let path = world.blob(&digest_of(b"x"));

    let sentence = refusal(
        world.request(Method::GET, &path).send().await?,
        StatusCode::UNAUTHORIZED,
    )
    .await?;
    assert!(sentence.contains("Bearer"), "{sentence}");
    let basic = world
        .request(Method::GET, &path)
        .basic_auth("u", Some("p"))
        .send()
        .await?;
    assert_eq!(basic.headers()["www-authenticate"], "Bearer");
    refusal(basic, StatusCode::UNAUTHORIZED).await?;

    let (head, signature) = trainer.token.rsplit_once('.').unwrap();
    let forged = format!("{head}.{}", signature.chars().rev().collect::<String>());
    let for_the_api = world.token("default", Some(&pod), &[]).await?;
    let for_others = world.token("default", Some(&pod), &["vault"]).await?;
    for token in ["x".into(), forged, for_the_api, for_others] {
        let answer = world.get(&caller(token), &path).await?;
        let sentence = refusal(answer, StatusCode::UNAUTHORIZED).await?;
        assert!(sentence.contains(AUDIENCE), "{sentence}");
    }
    // A body of megabytes does not prevent the answer with the reason.
    let answer = world.put(&caller("x".into()), &path, bytes(31, 900_000)).await?;
    refusal(answer, StatusCode::UNAUTHORIZED).await?;
    // The audience of the ledger among others is enough.
    let both = world.token("default", Some(&pod), &["vault", AUDIENCE]).await?;
    refusal(world.get(&caller(both), &path).await?, StatusCode::NOT_FOUND).await?;
    for path in ["/healthz", "/metrics"] {
        expect_success(world.request(Method::GET, path).send().await?).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_valid_identity_that_is_none_of_ours_is_refused_with_the_reason() -> Result<()> {
    let world = World::start().await?;
    let version = world.create_version("heart-1").await?;
    let of_version = |uid: &str| owner("modelward.io/v1alpha1", "ModelVersion", "heart-1", uid);
    let nowhere = "00000000-0000-4000-8000-000000000000";
    let real = world.create_job("heart-1-fit", of_version(&version)).await?;
    let bare = world.create_job("bare-fit", json!([])).await?;
    let forged = world.create_job("forged-fit", of_version(nowhere)).await?;
    let foreign_owner = owner("example.com/v1", "ModelVersion", "heart-1", &version);
    let foreign = world.create_job("foreign-fit", foreign_owner).await?;
    let mut not_controlled = owner_of_job("heart-1", &real);
    not_controlled[0]["controller"] = json!(false);

    let ours = "belongs neither to";
    let gone = "does not exist";
    for (pod, owners, said) in [
        ("alone", json!([]), ours),
        ("of-a-bare-job", owner_of_job("bare", &bare), ours),
        ("of-a-foreign-kind", owner_of_job("foreign", &foreign), ours),
        ("of-a-job-by-name-only", owner_of_job("heart-1", nowhere), gone),
        ("of-a-job-of-no-object", owner_of_job("absent", nowhere), gone),
        ("of-a-forged-job", owner_of_job("forged", &forged), gone),
        ("not-controlled", not_controlled, ours),
        ("of-the-version-itself", of_version(&version), ours),
    ] {
        let made = world.create_pod(pod, owners).await?;
        let token = world.token("default", Some(&made), &[AUDIENCE]).await?;
        let answer = world.put(&caller(token), &world.result(&real), result()).await?;
        let sentence = refusal(answer, StatusCode::FORBIDDEN)
            .await
            .map_err(|error| error.context(pod))?;
        assert!(sentence.contains(said), "{pod}: {sentence}");
    }

    let unbound = world.token("default", None, &[AUDIENCE]).await?;
    let answer = world.get(&caller(unbound), &world.result(&real)).await?;
    assert!(
        refusal(answer, StatusCode::FORBIDDEN)
            .await?
            .contains("not bound to a Pod")
    );
    Ok(())
}

#[tokio::test]
async fn a_job_of_a_remediation_action_is_a_trainer() -> Result<()> {
    let world = World::start().await?;
    let spec = json!({"model": "heart", "type": "SendAlert", "message": "look"});
    let (group, version, kind) = ("modelward.io", "v1alpha1", "RemediationAction");
    let uid = world
        .create(
            group,
            version,
            kind,
            "remediationactions",
            "heart-1",
            json!({"spec": spec}),
        )
        .await?;
    let of_action = |uid: &str| owner("modelward.io/v1alpha1", kind, "heart-1", uid);
    let job = world.create_job("heart-1-fit", of_action(&uid)).await?;
    let pod = world
        .create_pod("snapshot", owner_of_job("heart-1", &job))
        .await?;
    let trainer = caller(world.token("default", Some(&pod), &[AUDIENCE]).await?);
    let content = bytes(32, 100);
    expect_success(
        world
            .put(&trainer, &world.blob(&digest_of(&content)), content)
            .await?,
    )
    .await?;
    expect_success(world.put(&trainer, &world.result(&job), result()).await?).await?;

    // A false claim: the action with this name has another uid.
    let job = world
        .create_job("forged-fit", of_action("00000000-0000-4000-8000-000000000000"))
        .await?;
    let pod = world.create_pod("forged", owner_of_job("forged", &job)).await?;
    let forged = caller(world.token("default", Some(&pod), &[AUDIENCE]).await?);
    let answer = world.put(&forged, &world.result(&job), result()).await?;
    let sentence = refusal(answer, StatusCode::FORBIDDEN).await?;
    assert!(sentence.contains("does not exist"), "{sentence}");
    Ok(())
}

#[tokio::test]
async fn a_pod_counts_until_it_has_ended() -> Result<()> {
    let world = World::start().await?;
    let path = world.blob(&digest_of(b"x"));
    let there = StatusCode::NOT_FOUND;

    // Terminating: it still runs and may report its result.
    let trainer = world.trainer("terminating").await?;
    let held = json!({"metadata": {"finalizers": ["example.com/held"]}});
    world
        .pods()
        .patch(&trainer.pod, &PatchParams::default(), &Patch::Merge(held))
        .await?;
    world
        .pods()
        .delete(&trainer.pod, &DeleteParams::default())
        .await?;
    assert!(
        world
            .pods()
            .get(&trainer.pod)
            .await?
            .metadata
            .deletion_timestamp
            .is_some()
    );
    refusal(world.get(&trainer, &path).await?, there).await?;

    // Ended.
    let trainer = world.trainer("ended").await?;
    let ended = json!({"status": {"phase": "Succeeded"}});
    world
        .pods()
        .patch_status(&trainer.pod, &PatchParams::default(), &Patch::Merge(ended))
        .await?;
    let sentence = refusal(world.get(&trainer, &path).await?, StatusCode::FORBIDDEN).await?;
    assert!(sentence.contains("has ended"), "{sentence}");

    // Deleted.
    let trainer = world.trainer("deleted").await?;
    world
        .pods()
        .delete(&trainer.pod, &DeleteParams::default())
        .await?;
    turned_away(&world.get(&trainer, &path).await?);

    // Deleted and created again with the same name.
    let trainer = world.trainer("again").await?;
    world
        .pods()
        .delete(&trainer.pod, &DeleteParams::default())
        .await?;
    world
        .create_pod(&trainer.pod, owner_of_job("again", &trainer.job))
        .await?;
    turned_away(&world.get(&trainer, &path).await?);
    Ok(())
}

/// Whether the token of a deleted Pod is refused: with 401 because of the API server or, while its caches still have the Pod,
/// with 403 by the ledger, which looks up the Pod itself.
fn turned_away(answer: &reqwest::Response) {
    let status = answer.status();
    assert!(
        matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN),
        "{status}"
    );
}

#[tokio::test]
async fn a_proof_is_believed_for_its_lifetime_and_no_longer() -> Result<()> {
    let world = World::with(Postgres::shared().await?, |config| {
        config.proof_lifetime = Duration::from_secs(3);
    })
    .await?;
    let trainer = world.trainer("heart-1").await?;
    let path = world.blob(&digest_of(b"x"));
    for _ in 0..5 {
        refusal(world.get(&trainer, &path).await?, StatusCode::NOT_FOUND).await?;
    }
    let proofs = |outcome: &str| format!("modelward_ledger_proofs_total{{outcome=\"{outcome}\"}}");
    assert_eq!(world.metric(&proofs("accepted")).await?, Some(1.0));
    assert_eq!(world.metric(&proofs("cached")).await?, Some(4.0));
    world
        .pods()
        .delete(&trainer.pod, &DeleteParams::default())
        .await?;
    refusal(world.get(&trainer, &path).await?, StatusCode::NOT_FOUND).await?;
    tokio::time::sleep(Duration::from_secs(4)).await;
    turned_away(&world.get(&trainer, &path).await?);
    Ok(())
}

#[tokio::test]
async fn without_the_api_server_a_caller_is_asked_to_come_again() -> Result<()> {
    let world = World::start().await?;
    let trainer = world.trainer("heart-1").await?;
    // One ledger with an API server that refuses connections, one with a service account without permissions.
    let mut away = kube::Config::new("https://127.0.0.1:9".parse()?);
    away.default_retry = false;
    let powerless = ApiServer::shared().await.client_for(User::Alice)?;
    for (client, said) in [
        (kube::Client::try_from(away)?, "cannot be reached"),
        (powerless, "ClusterRole"),
    ] {
        let directory = tempfile::tempdir()?;
        let config = Config {
            addr: "127.0.0.1:0".parse()?,
            database_url_file: world.url_file.clone(),
            store: format!("file://{}", directory.path().display()),
            ..Config::default()
        };
        let ledger = Ledger::bind(config, client).await?;
        let url = format!("http://{}{}", ledger.local_addr()?, world.blob(&digest_of(b"x")));
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let task = tokio::spawn(ledger.run(async {
            let _ = stopped.await;
        }));
        let http = reqwest::Client::builder().no_proxy().build()?;
        let answer = http.get(&url).bearer_auth(&trainer.token).send().await?;
        assert_eq!(answer.headers()["retry-after"], "5");
        let sentence = refusal(answer, StatusCode::SERVICE_UNAVAILABLE).await?;
        assert!(sentence.contains(said), "{sentence}");
        let _ = stop.send(());
        task.await?;
    }
    Ok(())
}
