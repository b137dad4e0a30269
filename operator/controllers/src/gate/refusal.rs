//! The meaning of an answer to a test. Kubernetes states what rejected a request only in a sentence, so sentences are parsed here
//! and nowhere else.

use kube::{ResourceExt as _, api::DynamicObject};
use modelward_core::action::{Hindered, Probe};
use modelward_crds::gate;

use crate::Error;

/// Name of the objects of dry runs, and of a user that does not exist.
pub(super) const NEVER_MADE: &str = "modelward-gate-probe";

/// The HTTP status that says that an object of this name exists.
const EXISTS: u16 = 409;

/// Why the tests do not prove that approvals are enforced.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Gap {
    /// A policy is not enforced; the text says why.
    NotEnforced(String),
    /// Something else rejected a test, so that it is inconclusive.
    Hindered(Hindered),
}

/// The result of the tests.
pub(super) fn probe_outcome(gap: Option<Gap>) -> Probe {
    match gap {
        None => Probe::Refused,
        Some(Gap::NotEnforced(gap)) => Probe::NotRefused(gap),
        Some(Gap::Hindered(found)) => Probe::Hindered(found),
    }
}

/// Evaluates an answer to a test. Only a rejection by the policy itself proves that it is enforced; a rejection by anything else
/// proves nothing.
pub(super) fn gap_unless_refused<T>(
    policy: &str,
    trial: &str,
    tried: Result<T, Error>,
) -> Result<Option<Gap>, Error> {
    let Err(error) = tried else {
        return Ok(Some(Gap::NotEnforced(format!(
            "{trial} was accepted; admission policy {policy} is not being enforced"
        ))));
    };
    let Some(message) = refusal(&error) else {
        return Err(error);
    };
    if message.contains(&format!("ValidatingAdmissionPolicy '{policy}'")) {
        return Ok(None);
    }
    Ok(Some(hindered(policy, trial, message)))
}

/// A created object must name the operator in this annotation, or the policy must have rejected it.
pub(super) fn gap_unless_stamped(
    policy: &str,
    key: &str,
    me: &str,
    made: Result<DynamicObject, Error>,
) -> Result<Option<Gap>, Error> {
    match made {
        Ok(made) => {
            let found = made.annotations().get(key).map(String::as_str);
            Ok((found != Some(me)).then(|| {
                Gap::NotEnforced(format!(
                    "{key} with another user than the caller was accepted; neither admission policy {policy} nor one that \
                     sets {key} is being enforced"
                ))
            }))
        }
        refused => gap_unless_refused(policy, "another user than the caller", refused),
    }
}

/// The message of a rejection by the API server, or by a webhook that it has to call.
fn refusal(error: &Error) -> Option<&str> {
    let Error::Api { source, .. } = error else {
        return None;
    };
    let kube::Error::Api(status) = &**source else {
        return None;
    };
    // A webhook that cannot be called is a server error, like many others that say nothing about the request.
    let unasked = status.code == 500 && status.message.contains("failed calling webhook");
    (error.refused() || status.code == EXISTS || unasked).then_some(status.message.as_str())
}

/// A test that something other than the policy rejected. Other policies of the gate allow the test of this one, so a rejection by them
/// is not an external obstacle.
fn hindered(policy: &str, trial: &str, message: &str) -> Gap {
    let mut ours = gate::ALL.iter().chain(&gate::ALL_CHILDREN);
    if ours.any(|other| message.contains(&format!("ValidatingAdmissionPolicy '{other}'"))) {
        return Gap::NotEnforced(format!(
            "{trial} was refused, but not by the admission policy {policy}: {message}"
        ));
    }
    let (by, remedy) = obstacle(message);
    Gap::Hindered(Hindered {
        what: format!(
            "cannot verify that admission policy {policy} is enforced: {trial} was rejected earlier by {by}. {remedy}"
        ),
        message: message.to_owned(),
    })
}

/// What rejected a test, by this message of the API server, and how to fix it.
fn obstacle(message: &str) -> (String, String) {
    let between = |before: &str, after: char| {
        let (_, rest) = message.split_once(before)?;
        Some(rest.split_once(after)?.0.to_owned())
    };
    if let Some(quota) = between("exceeded quota: ", ',') {
        return (
            format!("the ResourceQuota {quota}"),
            "Raise it to one more than is used, or delete objects that it counts".to_owned(),
        );
    }
    if let Some(webhook) = between("admission webhook \"", '"') {
        return (
            format!("the admission webhook {webhook}"),
            "Configure it to allow the operator's writes to the group modelward.io".to_owned(),
        );
    }
    if let Some(webhook) = between("failed calling webhook \"", '"') {
        return (
            format!("the admission webhook {webhook}, which could not be called"),
            "Start its backend, or exclude the group modelward.io from its rules".to_owned(),
        );
    }
    if let Some(policy) = between("AdmissionPolicy '", '\'') {
        return (
            format!("the admission policy {policy}"),
            "Configure it to allow the operator's writes to the group modelward.io".to_owned(),
        );
    }
    if message.contains("is being terminated") {
        return (
            "the deletion of the namespace".to_owned(),
            "Nothing can be created in it any more".to_owned(),
        );
    }
    if message.contains("\" cannot ") {
        return (
            "a missing permission of the operator".to_owned(),
            "Restore its roles with helm upgrade".to_owned(),
        );
    }
    if message.ends_with("already exists") {
        return (
            format!("an object named {NEVER_MADE}"),
            "Delete it: the operator tests the policies with an object of this name".to_owned(),
        );
    }
    (
        "something else".to_owned(),
        "Change what the answer of Kubernetes names so that the operator is allowed".to_owned(),
    )
}

/// The operators that the API server uses, as the policy states them in its message to the operator.
pub(super) fn operators_in_refusal(error: &Error) -> Option<String> {
    let (_, rest) = refusal(error)?.split_once("operators=")?;
    let (operators, _) = rest.split_once(';')?;
    Some(operators.to_owned())
}

#[cfg(test)]
mod tests {
    use crate::gate::probe::TRIAL;
    use kube::api::ApiResource;
    use modelward_crds::ModelVersion;
    use modelward_crds::annotations;

    use super::*;

    fn refused(message: &str) -> Error {
        answered(403, message)
    }

    fn answered(code: u16, message: &str) -> Error {
        let status = kube::core::Status::failure(message, "Forbidden").with_code(code);
        Error::Api {
            action: "try".into(),
            source: Box::new(kube::Error::Api(Box::new(status))),
        }
    }

    #[test]
    fn only_the_refusal_of_the_policy_itself_proves_that_it_is_at_work() {
        let by = |policy: &str| refused(&format!("ValidatingAdmissionPolicy '{policy}' denied request: x"));
        let gap = |tried| gap_unless_refused::<()>(gate::CHILDREN, TRIAL, tried).unwrap();
        assert_eq!(gap(Err(by(gate::CHILDREN))), None);
        assert!(not_enforced(gap(Err(by(gate::IMITATIONS)))).contains("not by"));
        assert!(not_enforced(gap(Ok(()))).contains("not being enforced"));
        let judged = refused("denied request: operators=system:a,system:b;");
        assert_eq!(
            operators_in_refusal(&judged).as_deref(),
            Some("system:a,system:b")
        );
    }

    fn not_enforced(gap: Option<Gap>) -> String {
        match gap {
            Some(Gap::NotEnforced(words)) => words,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_else_refuses_a_trial_is_named_with_a_remedy_and_proves_nothing() {
        let object = "modelversions.modelward.io \"modelward-gate-probe\" is forbidden";
        let answers = [
            (
                403,
                format!(
                    "{object}: exceeded quota: objects, requested: count/modelversions.modelward.io=1, used: \
                     count/modelversions.modelward.io=2, limited: count/modelversions.modelward.io=2"
                ),
                "earlier by the ResourceQuota objects. Raise it",
            ),
            (
                400,
                "admission webhook \"names.example.com\" denied the request: no such team".to_owned(),
                "earlier by the admission webhook names.example.com. Configure it to allow",
            ),
            (
                500,
                "Internal error occurred: failed calling webhook \"dead.example.com\": failed to call webhook: connection refused"
                    .to_owned(),
                "earlier by the admission webhook dead.example.com, which could not be called. Start",
            ),
            (
                422,
                "ValidatingAdmissionPolicy 'teams.example.com' with binding 'teams' denied request: no".to_owned(),
                "earlier by the admission policy teams.example.com. Configure it to allow",
            ),
            (
                403,
                format!("{object}: unable to create new content in namespace a because it is being terminated"),
                "earlier by the deletion of the namespace",
            ),
            (
                403,
                "modelversions.modelward.io is forbidden: User \"x\" cannot create resource \"modelversions\"".to_owned(),
                "earlier by a missing permission of the operator. Restore",
            ),
            (
                409,
                "modelversions.modelward.io \"modelward-gate-probe\" already exists".to_owned(),
                "earlier by an object named modelward-gate-probe. Delete it",
            ),
            (
                403,
                format!("{object}: minimum memory usage per Pod is 1Gi, but no request is specified"),
                "earlier by something else. Change what the answer of Kubernetes names",
            ),
        ];
        for (code, message, expected) in answers {
            let tried = Err(answered(code, &message));
            let gap = gap_unless_stamped(gate::VERSIONS, annotations::CREATED_BY, "me", tried).unwrap();
            let Some(Gap::Hindered(found)) = &gap else {
                panic!("{gap:?}");
            };
            assert!(found.what.contains(expected), "{}", found.what);
            assert!(found.what.contains(gate::VERSIONS), "{}", found.what);
            assert_eq!(found.message, message);
            assert!(matches!(probe_outcome(gap), Probe::Hindered(_)));
        }
        for (code, message) in [
            (500, "etcdserver: request timed out"),
            (503, "busy"),
            (429, "later"),
        ] {
            let tried = Err::<(), _>(answered(code, message));
            assert!(
                gap_unless_refused(gate::VERSIONS, TRIAL, tried).is_err(),
                "{message}"
            );
        }
    }

    #[test]
    fn a_maker_that_is_not_the_caller_must_be_stamped_or_refused() {
        let made = |maker: Option<&str>| {
            let mut made = DynamicObject::new("x", &ApiResource::erase::<ModelVersion>(&()));
            made.metadata.annotations =
                maker.map(|maker| [(annotations::CREATED_BY.into(), maker.into())].into());
            gap_unless_stamped(gate::VERSIONS, annotations::CREATED_BY, "me", Ok(made)).unwrap()
        };
        assert_eq!(made(Some("me")), None);
        assert!(made(Some(NEVER_MADE)).is_some());
        assert!(made(None).is_some());
    }
}
