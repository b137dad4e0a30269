//! Versions that are not promoted until their hold is lifted.

use modelward_crds::{Hold, Model};
use modelward_wire::Digest;

/// The hold on a version with this uid or this bundle.
pub fn hold<'a>(model: &'a Model, uid: &str, digest: Option<&Digest>) -> Option<&'a Hold> {
    let lifted = |hold: &Hold| model.spec.lift_holds.contains(&hold.uid);
    let same = |hold: &&Hold| hold.uid == uid || Some(&hold.digest) == digest;
    let mut holds = model.status.iter().flat_map(|status| &status.holds);
    holds.find(|hold| same(hold) && !lifted(hold))
}
