//! A plan as text, for its approvers.

use jiff::Timestamp;
use modelward_crds::{
    Champion, CustomTrainer, Gate, ImportedStatus, Model, ModelVersion, PlannedDataset, RemediationAction,
    SourceStatus, TrainingSource, annotations,
};
use modelward_wire::Digest;

use crate::{
    action::plan::{
        parts::datasets,
        proposal::{Proposal, ProposedTraining},
        text::{cut, file, listed, plain, quoted, short, text},
    },
    custom_trainer::Image,
};

/// Arguments or variables of an image in a summary, at most.
const LISTED: usize = 16;

/// What would be done, and its requirements: the risk, the number of approvals, the excluded users, the expiry.
pub(in crate::action) fn summary(
    proposal: &Proposal,
    action: &RemediationAction,
    not_after: Timestamp,
) -> String {
    let people = match (proposal.approvals, &action.spec.parent_ref) {
        (0, Some(parent)) => format!("covered by {}", parent.name),
        (0, None) => "no approval needed".to_owned(),
        (1, _) => "1 approval".to_owned(),
        (several, _) => format!("{several} approvals"),
    };
    let excluded = who_may_not_approve(proposal, action);
    let excluded = if proposal.approvals == 0 || excluded.is_empty() {
        String::new()
    } else {
        format!(", not by {}", listed(&excluded))
    };
    cut(&format!(
        "{}; risk {}, {people}{excluded}, until {not_after}",
        proposal.summary, proposal.risk,
    ))
}

/// The users who may not approve: those who made or changed the version, and who proposed the action. System users may not anyway.
fn who_may_not_approve(proposal: &Proposal, action: &RemediationAction) -> Vec<String> {
    let annotated = action.metadata.annotations.as_ref();
    let proposer = annotated.and_then(|all| all.get(annotations::PROPOSED_BY));
    let is_new =
        |proposer: &&String| !proposer.starts_with("system:") && !proposal.excluded.contains(proposer);
    let proposer = proposer.filter(is_new).cloned();
    proposal.excluded.iter().cloned().chain(proposer).collect()
}

/// What an imported model is from.
fn imported_words(imported: &ImportedStatus) -> String {
    let registered = imported.mlflow.as_ref().map_or_else(String::new, |mlflow| {
        format!(", version {} of the registered model", mlflow.version)
    });
    format!(
        "; imported from {} ({}){registered}: no training data was read, and no gates were asked for",
        imported.format,
        imported.file.short()
    )
}

/// The data that a version was trained on, and its gates.
pub(in crate::action) fn trained_words(
    version: &ModelVersion,
    model: &Model,
    versions: &[ModelVersion],
) -> String {
    let Some(training) = &version.spec.source.training else {
        let imported = version
            .status
            .as_ref()
            .and_then(|status| status.imported.as_ref());
        if let Some(imported) = imported {
            return imported_words(imported);
        }
        return "; its spec names the bundle: no data was read, and no gates were asked for".to_owned();
    };
    let status = version.status.clone().unwrap_or_default();
    let files = file_words(&datasets(training), &status.sources);
    let data = match (&training.snapshot, &status.snapshot) {
        // A retraining names the snapshot that its approval showed.
        (Some(named), _) if version.spec.provenance.is_none() => {
            format!(
                "snapshot {}, which its spec names instead of reading {files}",
                named.short()
            )
        }
        (_, Some(read)) => format!("{} ({}): {files}", row_words(read.rows), read.digest.short()),
        _ => files,
    };
    let mut bounds: Vec<String> = training.gates.iter().map(bound_words).collect();
    if let Some(champion) = &training.not_worse_than {
        let bound = champion_words(training, champion);
        let known = is_bundle_of(&champion.bundle, &champion.version, model, versions);
        let doubt = format!(", a bundle that is not known to belong to {}", champion.version);
        bounds.push(if known { bound } else { bound + &doubt });
    }
    let bounds = if bounds.is_empty() {
        "without gates".to_owned()
    } else {
        bounds.join(" and ")
    };
    let trainer = training
        .custom_trainer
        .as_deref()
        .map_or_else(String::new, trainer_words);
    let ran = status
        .custom_trainer_image
        .as_ref()
        .map_or_else(String::new, |image| format!("; its node ran {:?}", plain(image)));
    format!("; trained on {data}{trainer}{ran}; {bounds}")
}

/// The image that trains in place of the trainer, and everything that it is run with.
fn trainer_words(trainer: &CustomTrainer) -> String {
    let CustomTrainer {
        image,
        format,
        args,
        env,
        service_account_name,
    } = trainer;
    // As it is run: with its registry and its tag.
    let (image, may_move) = image.parse().map_or_else(
        |_| (image.clone(), true),
        |image: Image| (image.to_string(), !image.is_pinned()),
    );
    let mut words = format!(", by the image {:?} ({format}", plain(&image));
    if may_move {
        words.push_str(", a tag: what it names may change");
    }
    words.push(')');
    match service_account_name {
        Some(account) => words = format!("{words} as the service account {}", exact(account)),
        None => words.push_str(" without a service account"),
    }
    if !args.is_empty() {
        let texts = args.iter().map(|text| exact(text));
        words = format!("{words} with the arguments {}", list_words(texts));
    }
    if !env.is_empty() {
        let set = env
            .iter()
            .map(|variable| format!("{}={}", variable.name, exact(&variable.value)));
        words = format!("{words} with the variables {}", list_words(set));
    }
    words
}

/// Always in quotes, so that it cannot be read as a part of the sentence.
fn exact(text: &str) -> String {
    format!("{:?}", short(text))
}

/// What an approver reads of a list; the hash of the training covers all of it.
fn list_words(items: impl ExactSizeIterator<Item = String>) -> String {
    let count = items.len();
    let shown: Vec<String> = items.take(LISTED).collect();
    let more = match count - shown.len() {
        0 => String::new(),
        more => format!(" and {more} more, which are in source.training.customTrainer"),
    };
    format!("{}{more}", shown.join(" "))
}

/// Whether this bundle belongs to a version of this name that exists or served before.
fn is_bundle_of(bundle: &Digest, name: &str, model: &Model, versions: &[ModelVersion]) -> bool {
    let has_it = |version: &ModelVersion| {
        let status = version.status.as_ref();
        version.metadata.name.as_deref() == Some(name)
            && status
                .and_then(|status| status.bundle.as_ref())
                .is_some_and(|own| own.digest == *bundle)
    };
    let history = model.status.iter().flat_map(|status| &status.history);
    versions.iter().any(has_it)
        || history
            .into_iter()
            .any(|record| record.version == name && record.digest == *bundle)
}

/// The number of Pods that would serve a version.
pub(in crate::action) fn serving_words(version: &ModelVersion) -> String {
    let replicas = &version.spec.serving.replicas;
    if replicas.max == 1 {
        "1 Pod".to_owned()
    } else if replicas.min == replicas.max {
        format!("{} Pods", replicas.min)
    } else {
        format!("{} to {} Pods", replicas.min, replicas.max)
    }
}

/// The full names and hashes are in the plan or the version; the sentence names the file, its source and its rows.
fn file_words(datasets: &[PlannedDataset], sources: &[SourceStatus]) -> String {
    let files: Vec<String> = datasets
        .iter()
        .enumerate()
        .map(|(index, dataset)| {
            let read = sources.get(index);
            let rows = read.map_or_else(String::new, |read| format!(", {} rows", read.rows));
            let from = dataset.host.as_ref().map_or_else(
                || short(&dataset.location),
                |host| {
                    format!(
                        "host {}, {}",
                        quoted(&short(host)),
                        quoted(&short(file(&dataset.location)))
                    )
                },
            );
            format!("{from}{rows}")
        })
        .collect();
    files.join(" + ")
}

fn row_words(rows: Option<i64>) -> String {
    rows.map_or_else(|| "rows".to_owned(), |rows| format!("{rows} rows"))
}

fn champion_words(source: &TrainingSource, champion: &Champion) -> String {
    format!(
        "{} is at most {} worse than that of {} (bundle {})",
        source.select_by.as_str(),
        champion.margin,
        champion.version,
        champion.bundle.short()
    )
}

pub(in crate::action) fn retraining_words(
    target: &ModelVersion,
    source: &TrainingSource,
    training: &ProposedTraining,
) -> String {
    let mut bounds: Vec<String> = training.gates.iter().map(bound_words).collect();
    if let Some(champion) = &training.not_worse_than {
        bounds.push(champion_words(source, champion));
    }
    let bounds = if bounds.is_empty() {
        "regardless of its metrics".to_owned()
    } else {
        format!("if {}", bounds.join(" and "))
    };
    let then = if training.serve_when_gates_pass {
        format!("serve it {bounds}")
    } else {
        format!("propose to serve it {bounds}")
    };
    let reference = match &training.reference {
        Some(reference) => match (&reference.start_time, &reference.end_time) {
            (Some(start), Some(end)) => format!(
                "the window from {} to {}{} becomes the reference",
                start.0,
                end.0,
                reference
                    .rows
                    .map_or_else(String::new, |rows| format!(" ({rows} rows)")),
            ),
            _ => "the accepted window becomes the reference".to_owned(),
        },
        None => "its training data becomes the reference".to_owned(),
    };
    format!(
        "retrain {} with the training spec of {}, on {} ({}): {}{}; {then}; {reference}",
        target.spec.model,
        training.target.name,
        row_words(training.snapshot.rows),
        training.snapshot.digest.short(),
        file_words(&training.datasets, &training.sources),
        source
            .custom_trainer
            .as_deref()
            .map_or_else(String::new, trainer_words),
    )
}

fn bound_words(gate: &Gate) -> String {
    let metric = gate.metric.as_str();
    let errors = match &gate.standard_errors {
        Some(count) if gate.at_least.is_some() => format!(" minus {} standard errors", text(count)),
        Some(count) => format!(" plus {} standard errors", text(count)),
        None => String::new(),
    };
    match (&gate.at_least, &gate.at_most) {
        (Some(bound), _) => format!("{metric}{errors} is at least {}", text(bound)),
        (_, Some(bound)) => format!("{metric}{errors} is at most {}", text(bound)),
        _ => metric.to_owned(),
    }
}
