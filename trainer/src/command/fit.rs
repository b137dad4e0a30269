//! `fit`: a model is trained on a snapshot, compared, and written as a bundle.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, ensure};
use modelward_model::{Bundle, Scorer as _};
use modelward_service::chain;
use modelward_wire::{Digest, JobResult, JobStage, ManifestKind, Progress, Verdict};

use crate::{
    command::{
        arguments::FitArgs,
        baselines::{Baselines, load_baselines},
        checks::read_spec,
        interruption::Interruption,
        open_snapshot::open_snapshot,
        rounds::LedgerRounds,
        temporary::Temporary,
        threads::default_threads,
        trained::{self, measure_trained},
        verdict::{Fitted, judge},
    },
    data::{freeze::invalid, snapshot::Snapshot, violation::violation},
    fit::{
        bundle::{self, Extras},
        compare::{Comparison, Opponent},
        error::TrainError,
        kept::RoundStore,
        plan::Plan,
        progress::Step,
        train::{Trained, train_behind},
    },
    ledger::Ledger,
    report::Meter,
    spec::Spec,
};

pub(super) async fn fit_model(
    args: &FitArgs,
    ledger: Option<&Ledger>,
    interruption: &Interruption,
) -> anyhow::Result<JobResult> {
    let version = match read_spec(&args.spec, JobStage::Fit)? {
        Ok(version) => version,
        Err(result) => return Ok(result),
    };
    let training = &version.training;
    let temporary = Temporary::new()?;
    if let Some(message) = trained::contradiction(training, args.trained.as_deref()) {
        return Ok(JobResult::new(JobStage::Fit, Verdict::SpecInvalid, message));
    }
    let fetch = args.publish.fetch(args.size);
    let snapshot = match open_snapshot(&args.rows, &version, &fetch, ledger, &temporary).await? {
        Ok(snapshot) => Arc::new(snapshot),
        Err(result) => return Ok(result),
    };
    let baselines = match load_baselines(args, training, &snapshot, ledger, &temporary).await? {
        Ok(baselines) => baselines,
        Err(message) => return Ok(JobResult::new(JobStage::Fit, Verdict::SpecInvalid, message)),
    };

    let plan = Plan::new(training);
    let meter = Arc::new(Meter::new());
    let publisher = ledger.map(|ledger| meter.publish_to(ledger.clone()));
    let rounds = ledger
        .filter(|_| plan.search.is_some())
        .and_then(|ledger| keep_rounds(ledger, &version, &snapshot))
        .map(Arc::new);
    let (trained, custom_trainer) = match (&training.custom_trainer, &args.trained) {
        (Some(trainer), Some(dir)) => match measure_trained(trainer, dir, &snapshot, &plan, &meter).await? {
            Ok((trained, info)) => (trained, Some(info)),
            Err(result) => return Ok(result),
        },
        _ => match train_on(&snapshot, &plan, args.threads, &meter, rounds.clone()).await? {
            Ok(trained) => (trained, None),
            Err(result) => return Ok(result),
        },
    };
    let (trained, baselines, comparison) =
        compare_with_champion(trained, baselines, &snapshot, &plan, &meter).await?;

    meter.at("writing the bundle", 92);
    let declared: Vec<String> = training
        .features
        .iter()
        .filter(|feature| feature.categories.is_some())
        .map(|feature| feature.name.clone())
        .collect();
    let extras = Extras {
        declared: &declared,
        training: Some(version.digest),
        comparison: comparison.as_ref(),
        window: baselines.window.as_ref(),
        custom_trainer: custom_trainer.as_ref(),
        new_rows: baselines.champion.as_ref().map_or(&[], Opponent::new_rows),
    };
    let builder = bundle::build(
        &version.model,
        &snapshot,
        &plan,
        &training.gates,
        &trained,
        extras,
    )?;
    let mut dir = args.out.clone().unwrap_or_else(|| temporary.join("bundle"));
    let (_, digest) = builder.write(&dir)?;
    if let Some(ledger) = ledger {
        meter.at("publishing the bundle", 94);
        ledger.publish(&dir, ManifestKind::Bundle).await?;
        meter.at("fetching the bundle again", 97);
        dir = temporary.join("published");
        ledger.fetch(&digest, &dir).await?;
    }
    verify(&dir, &digest, &snapshot, &trained)?;
    let result = judge(&Fitted {
        training,
        snapshot: &snapshot,
        select_by: plan.select_by,
        trained: &trained,
        comparison: comparison.as_ref(),
        custom_trainer: custom_trainer.as_ref(),
        digest,
    });
    if ledger.is_some() {
        // Now, because the calls below may wait for the ledger; `report_result` writes it again, and reports why it cannot.
        let _ = interruption.write_result(&args.publish.termination_log, &result);
    }
    if let Some(rounds) = &rounds {
        rounds.delete().await;
    }
    meter.at("done", 100);
    if let (Some(publisher), Some(ledger)) = (publisher, ledger) {
        publisher.abort();
        send_last_progress(ledger).await;
    }
    Ok(result)
}

/// Where a Job keeps the rounds of its search. If there is no such place, it trains all the same.
fn keep_rounds(ledger: &Ledger, version: &Spec, snapshot: &Snapshot) -> Option<LedgerRounds> {
    LedgerRounds::new(ledger.clone(), &version.digest, &snapshot.digest)
        .inspect_err(|error| tracing::warn!(%error, "the trainer cannot read its own program; rounds of the search are not kept"))
        .ok()
}

/// The candidates of this plan; in the inner result the verdict on data that no model can be trained on.
async fn train_on(
    snapshot: &Arc<Snapshot>,
    plan: &Plan,
    threads: Option<usize>,
    meter: &Arc<Meter>,
    rounds: Option<Arc<LedgerRounds>>,
) -> anyhow::Result<Result<Trained, JobResult>> {
    let threads = threads
        .unwrap_or_else(|| default_threads(&snapshot.data, plan))
        .max(1);
    let (snapshot, plan, meter) = (Arc::clone(snapshot), plan.clone(), Arc::clone(meter));
    let work = move || {
        let store = rounds.as_deref().map(|rounds| rounds as &dyn RoundStore);
        train_behind(
            &snapshot.data,
            &plan,
            threads,
            &|step| show_step(&meter, &step),
            store,
        )
    };
    let trained = tokio::task::spawn_blocking(work)
        .await
        .context("the training thread ended")?;
    match trained {
        Ok(trained) => Ok(Ok(trained)),
        // The same data would fail again, so this is a verdict and not a failure to retry.
        Err(error @ (TrainError::Fold { .. } | TrainError::Whole { .. } | TrainError::Metric { .. })) => {
            let mut result = invalid(vec![violation("", "Fit", chain(&error), 1, None)]);
            result.stage = JobStage::Fit;
            Ok(Err(result))
        }
        Err(error) => Err(error.into()),
    }
}

/// The comparison of the selected candidate with the champion, if there is one.
async fn compare_with_champion(
    trained: Trained,
    baselines: Baselines,
    snapshot: &Arc<Snapshot>,
    plan: &Plan,
    meter: &Arc<Meter>,
) -> anyhow::Result<(Trained, Baselines, Option<Comparison>)> {
    let (snapshot, plan, meter) = (Arc::clone(snapshot), plan.clone(), Arc::clone(meter));
    let work = move || {
        let comparison = baselines.champion.as_ref().map(|champion| {
            meter.at("comparing with the champion", 91);
            let data = &snapshot.data;
            let groups = plan.groups(&data.row_columns);
            champion.compare(
                &data.labels,
                groups,
                trained.candidate(),
                plan.select_by,
                plan.seed,
            )
        });
        (trained, baselines, comparison.transpose())
    };
    let ended = tokio::task::spawn_blocking(work).await;
    let (trained, baselines, comparison) = ended.context("the comparing thread ended")?;
    Ok((trained, baselines, comparison?))
}

/// Opens the bundle as the server would and scores every row of the snapshot.
fn verify(dir: &Path, digest: &Digest, snapshot: &Snapshot, trained: &Trained) -> anyhow::Result<()> {
    let bundle = Bundle::open(dir, digest).context("the bundle that was written cannot be opened")?;
    bundle
        .verify_warm_up()
        .context("the bundle that was written gives other scores")?;
    let scorer = trained.scorer();
    for (index, row) in snapshot.data.rows().enumerate() {
        let (found, expected) = (bundle.score(&row), scorer.score(&row));
        ensure!(
            found.to_bits() == expected.to_bits(),
            "the bundle scores row {} as {found:e}, the trainer as {expected:e}",
            index + 1
        );
    }
    Ok(())
}

/// Sends the last progress, which is kept with the result, even if the previous one was sent a moment ago.
async fn send_last_progress(ledger: &Ledger) {
    let last = Progress {
        step: "done".to_owned(),
        percent: 100,
        remaining_seconds: Some(0),
    };
    if let Err(error) = ledger.put_progress(&last).await {
        tracing::debug!(%error, "progress was not recorded");
    }
}

fn show_step(meter: &Meter, step: &Step) {
    let percent = (step.done * 90 / step.total.max(1)) as u8;
    if step.done < step.total {
        let what = format!("{}; fit {} of {}", step.what, step.done + 1, step.total);
        meter.at(&what, percent);
    } else {
        meter.at(&step.what, percent);
    }
}
