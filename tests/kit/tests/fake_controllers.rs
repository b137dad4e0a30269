//! Cases in which the fake controllers must behave like the real ones.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt as _;
use modelward_kit::{
    apiserver::ApiServer,
    fake_controllers::{FakeControllers, JobEnd},
    objects::Objects,
};
use serde_json::{Value, json};
use tokio::{runtime::Handle, task::block_in_place};

const PATIENCE: Duration = Duration::from_secs(30);

fn job() -> Value {
    let container = json!({"name": "trainer", "image": "none"});
    let pod = json!({"restartPolicy": "Never", "containers": [container]});
    json!({"metadata": {"name": "train"}, "spec": {"template": {"spec": pod}}})
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_deleted_job_is_not_that_of_a_new_job_with_its_name() {
    let api = ApiServer::shared().await;
    let objects = Objects::new(api.client(), api.namespace().await, PATIENCE);
    let fakes = FakeControllers::start(api.client(), &objects.namespace);
    let (replacing, replaced) = (objects.clone(), AtomicBool::new(false));
    fakes.jobs(move |_| {
        if replaced.swap(true, Ordering::Relaxed) {
            return JobEnd::Runs;
        }
        // Another client replaces the Job after the controller has read it.
        block_in_place(|| {
            Handle::current().block_on(async {
                replacing.delete::<Job>("train").await.unwrap();
                replacing.wait_gone::<Job>("train").await.unwrap();
                replacing.create::<Job>(job()).await.unwrap();
            });
        });
        JobEnd::Succeeds("the first".into())
    });
    let first = objects.create::<Job>(job()).await.unwrap();
    let second = objects
        .wait::<Job>("train", "to be active", |job| {
            job.uid() != first.uid() && job.status.as_ref().is_some_and(|status| status.active.is_some())
        })
        .await
        .unwrap();
    let status = second.status.unwrap();
    assert_eq!((status.active, status.succeeded), (Some(1), None), "{status:?}");
}
