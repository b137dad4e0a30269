//! Leader election on a real API server. What takes the lease's 15 seconds is judged beside the code, on a clock of its own.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use modelward_controllers::{Clock, Timestamp, lease::Election};
use modelward_kit::apiserver::ApiServer;
use serde_json::json;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn one_leads_a_release_hands_over_and_a_lost_lease_is_noticed() -> Result<()> {
    let api = ApiServer::shared().await;
    let namespace = api.namespace().await;
    let clock: Clock = Arc::new(|| Timestamp::try_from(SystemTime::now()).unwrap());
    let election = |identity: &str| {
        Election::new(
            api.client(),
            &namespace,
            "modelward-operator",
            identity,
            clock.clone(),
        )
    };
    let leases = Api::<Lease>::namespaced(api.client(), &namespace);
    let holder = async || {
        let lease = leases.get("modelward-operator").await?;
        anyhow::Ok(lease.spec.context("a spec")?.holder_identity)
    };
    let (mut first, mut second) = (election("first"), election("second"));
    timeout(SOON, first.acquire()).await?;
    assert_eq!(holder().await?.as_deref(), Some("first"));
    ensure!(
        timeout(Duration::from_secs(3), second.acquire()).await.is_err(),
        "two lead"
    );

    // A user's label does not lose the lease.
    let held = async {
        let note = Patch::Merge(json!({"metadata": {"labels": {"unrelated": "1"}}}));
        for _ in 0..20 {
            leases
                .patch("modelward-operator", &PatchParams::default(), &note)
                .await?;
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
        anyhow::Ok(())
    };
    tokio::select! {
        () = first.hold() => anyhow::bail!("a label took the lease away"),
        done = held => done?,
    }

    first.release().await;
    assert_eq!(holder().await?, None);
    timeout(SOON, second.acquire()).await?;
    let lease = leases.get("modelward-operator").await?.spec.context("a spec")?;
    assert_eq!(
        (lease.holder_identity.as_deref(), lease.lease_transitions),
        (Some("second"), Some(1))
    );
    assert_eq!(lease.lease_duration_seconds, Some(15));

    let stolen = Patch::Merge(json!({"spec": {"holderIdentity": "third"}}));
    leases
        .patch("modelward-operator", &PatchParams::default(), &stolen)
        .await?;
    timeout(SOON, second.hold())
        .await
        .context("the loss was not noticed")?;
    Ok(())
}
