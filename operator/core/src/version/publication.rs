//! The condition about MLflow. Nothing depends on it.

use modelward_crds::{ConditionType, ModelVersion, ModelVersionStatus};
use modelward_wire::{PublicationRecord, PublicationState};

use crate::{
    attempt::Step,
    conditions::Verdict,
    reason::Reason,
    version::{context::find, world::PublicationSeen},
};

/// A version that is not published yet is looked up again after this many seconds.
const PUBLICATION_LOOK_SECONDS: u64 = 30;

/// Whether MLflow has the version; none if nothing is published, or there is no bundle yet.
pub(super) fn publication_verdict(
    version: &ModelVersion,
    status: &ModelVersionStatus,
    seen: &PublicationSeen,
    step: &mut Step,
) -> Option<Verdict> {
    status.bundle.as_ref()?;
    let kind = ConditionType::Published;
    let verdict = match seen {
        PublicationSeen::NotAsked => return None,
        PublicationSeen::Recorded => {
            let before = find(version, kind)?;
            return Some(Verdict::holds(kind, Reason::PublishedToMlflow, &before.message));
        }
        PublicationSeen::Found(record) => match record.state {
            PublicationState::Published => {
                return Some(Verdict::holds(
                    kind,
                    Reason::PublishedToMlflow,
                    published_words(record),
                ));
            }
            PublicationState::Pending => pending(),
            PublicationState::Failed => {
                let error = record.error.as_deref().unwrap_or("the last attempt failed");
                let message = format!(
                    "{error}; {} so far, it is tried again",
                    if record.attempts == 1 {
                        "1 attempt".to_owned()
                    } else {
                        format!("{} attempts", record.attempts)
                    }
                );
                Verdict::fails(kind, Reason::PublicationFailed, message)
            }
        },
        PublicationSeen::Absent => pending(),
        PublicationSeen::LedgerUnavailable(error) => {
            let message = format!("cannot read the publication from the ledger: {error}");
            Verdict::unknown(kind, Reason::LedgerUnavailable, message)
        }
    };
    let soon = step.again_after_seconds.unwrap_or(PUBLICATION_LOOK_SECONDS);
    step.again_after_seconds = Some(soon.min(PUBLICATION_LOOK_SECONDS));
    Some(verdict)
}

fn pending() -> Verdict {
    let words = "the ledger has not published it to MLflow yet";
    Verdict::unknown(ConditionType::Published, Reason::PublicationPending, words)
}

fn published_words(record: &PublicationRecord) -> String {
    let version = record.registered_version.as_deref().unwrap_or_default();
    let url = record.url.as_deref().unwrap_or_default();
    format!("version {version} of the registered model, run {url}")
}
