//! Reads the policies and their bindings: whether each exists, is bound and applies everywhere.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        admissionregistration::v1::{
            MatchResources, ParamRef, ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
        },
        core::v1::ConfigMap,
    },
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use kube::{
    Api, ResourceExt as _,
    api::{ApiResource, DynamicObject, ListParams},
};
use modelward_core::action::{GateIds, PolicyId};
use modelward_crds::{gate, labels};
use modelward_service::chain;
use sha2::{Digest as _, Sha256};

use crate::{Error, api::Env};

/// The parameters of namespaces that are not listed.
const OTHERS: &str = "_others";

/// Policies and bindings of the cluster by name.
#[derive(Default)]
pub(super) struct Policies {
    pub(super) policies: BTreeMap<String, ValidatingAdmissionPolicy>,
    pub(super) bindings: BTreeMap<String, ValidatingAdmissionPolicyBinding>,
}

/// The policies and the operators of this namespace, or the first gap.
pub(super) async fn read_policies(
    env: &Env,
    namespace: &str,
) -> Result<Result<(GateIds, String), String>, Error> {
    let all = ListParams::default();
    let policies = Api::<ValidatingAdmissionPolicy>::all(env.client.clone());
    let bindings = Api::<ValidatingAdmissionPolicyBinding>::all(env.client.clone());
    let policies = env
        .call("list ValidatingAdmissionPolicies", policies.list(&all))
        .await;
    let bindings = env
        .call("list ValidatingAdmissionPolicyBindings", bindings.list(&all))
        .await;
    let found = match (readable(policies)?, readable(bindings)?) {
        (Ok(policies), Ok(bindings)) => Policies {
            policies: policies
                .items
                .into_iter()
                .map(|one| (one.name_any(), one))
                .collect(),
            bindings: bindings
                .items
                .into_iter()
                .map(|one| (one.name_any(), one))
                .collect(),
        },
        (Err(gap), _) | (_, Err(gap)) => return Ok(Err(gap)),
    };
    let mut ids = match identify_policies(&found, env.config.gate_children) {
        Ok(ids) => ids,
        Err(gap) => return Ok(Err(gap)),
    };
    match read_stamps(env).await? {
        Ok(stamps) => ids.extend(stamps),
        Err(gap) => return Ok(Err(gap)),
    }
    let Some((map, of)) = parameters(&found.bindings, gate::DECISIONS) else {
        return Ok(Err(format!(
            "the binding of {} names no parameters",
            gate::DECISIONS
        )));
    };
    let api = Api::<ConfigMap>::namespaced(env.client.clone(), &of);
    let read = env
        .call(format!("read ConfigMap {of}/{map}"), api.get_opt(&map))
        .await;
    let data = match readable(read)? {
        Ok(Some(map)) => map.data.unwrap_or_default(),
        Ok(None) => {
            return Ok(Err(format!(
                "the ConfigMap {of}/{map} with the operators does not exist"
            )));
        }
        Err(gap) => return Ok(Err(gap)),
    };
    let operators = data
        .get(namespace)
        .or_else(|| data.get(OTHERS))
        .cloned()
        .unwrap_or_default();
    let me = env.whoami().await?;
    if !operators.split(',').any(|operator| operator == me) {
        return Ok(Err(format!(
            "{me} is not among the operators of namespace {namespace} in the ConfigMap {of}/{map}"
        )));
    }
    let parameters = hex::encode(Sha256::digest(operators.as_bytes()));
    Ok(Ok((
        GateIds {
            policies: ids,
            parameters,
        },
        operators,
    )))
}

/// Every required policy, or the first gap.
pub(super) fn identify_policies(found: &Policies, children: bool) -> Result<Vec<PolicyId>, String> {
    let wanted = gate::ALL
        .iter()
        .chain(gate::ALL_CHILDREN.iter().filter(|_| children));
    wanted
        .map(|name| {
            let policy = found
                .policies
                .get(*name)
                .ok_or_else(|| format!("the admission policy {name} does not exist"))?;
            let binding = found
                .bindings
                .get(*name)
                .ok_or_else(|| format!("the binding of the admission policy {name} does not exist"))?;
            if let Some(gap) = find_policy_gap(name, policy, binding) {
                return Err(gap);
            }
            if *name != gate::VERSIONS
                && gate::ALL.contains(name)
                && parameters(&found.bindings, name) != parameters(&found.bindings, gate::DECISIONS)
            {
                return Err(format!(
                    "the binding of {name} reads its operators from another ConfigMap than the one of {}",
                    gate::DECISIONS
                ));
            }
            Ok(PolicyId {
                name: (*name).to_owned(),
                uid: policy.uid().unwrap_or_default(),
                generation: policy.metadata.generation.unwrap_or_default(),
                binding_uid: binding.uid().unwrap_or_default(),
                binding_generation: binding.metadata.generation.unwrap_or_default(),
            })
        })
        .collect()
}

/// Name and namespace of the ConfigMap that a binding reads.
pub(super) fn parameters(
    bindings: &BTreeMap<String, ValidatingAdmissionPolicyBinding>,
    name: &str,
) -> Option<(String, String)> {
    let found = bindings.get(name)?.spec.as_ref()?.param_ref.clone()?;
    (found.parameter_not_found_action.as_deref() == Some("Deny"))
        .then_some(())
        .and(found.name.zip(found.namespace))
}

/// The mutating policies that exist in the cluster. The validating policies check their results.
async fn read_stamps(env: &Env) -> Result<Result<Vec<PolicyId>, String>, Error> {
    let mut listed = Vec::new();
    for (kind, plural) in [
        ("MutatingAdmissionPolicy", "mutatingadmissionpolicies"),
        (
            "MutatingAdmissionPolicyBinding",
            "mutatingadmissionpolicybindings",
        ),
    ] {
        let resource = ApiResource {
            group: "admissionregistration.k8s.io".to_owned(),
            version: "v1".to_owned(),
            api_version: "admissionregistration.k8s.io/v1".to_owned(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
        };
        let api = Api::<DynamicObject>::all_with(env.client.clone(), &resource);
        let read = env
            .call(
                format!("list {plural}"),
                api.list_metadata(&ListParams::default()),
            )
            .await;
        match read {
            // Kubernetes before 1.36.
            Err(error) if error.code() == Some(404) => return Ok(Ok(Vec::new())),
            read => match readable(read)? {
                Ok(read) => listed.push(read.items),
                Err(gap) => return Ok(Err(gap)),
            },
        }
    }
    let id = |list: usize, name: &str| {
        let found = listed.get(list)?.iter().find(|one| one.name_any() == name)?;
        Some((
            found.uid().unwrap_or_default(),
            found.metadata.generation.unwrap_or_default(),
        ))
    };
    let stamps = gate::STAMPS.iter().filter_map(|name| {
        let (uid, generation) = id(0, name)?;
        let (binding_uid, binding_generation) = id(1, name).unwrap_or_default();
        Some(PolicyId {
            name: (*name).to_owned(),
            uid,
            generation,
            binding_uid,
            binding_generation,
        })
    });
    Ok(Ok(stamps.collect()))
}

/// A forbidden read is a finding, not an error.
fn readable<T>(read: Result<T, Error>) -> Result<Result<T, String>, Error> {
    match read {
        Ok(read) => Ok(Ok(read)),
        Err(error) if error.refused() => Ok(Err(format!(
            "the operator may not read whether approvals are enforced: {}",
            chain(&error)
        ))),
        Err(error) => Err(error),
    }
}

/// The match conditions that a policy of the chart has.
pub(super) fn conditions_of(name: &str) -> &'static [&'static str] {
    match name {
        gate::IMITATIONS => &["not-trusted", "not-a-child"],
        gate::NAMES => &["not-trusted"],
        gate::SCALE => &["of-a-model"],
        gate::SCALE_BOUNDS => &["of-a-model", "not-the-autoscaler"],
        _ => &[],
    }
}

/// Defects by which a policy would allow requests that it should reject.
pub(super) fn find_policy_gap(
    name: &str,
    policy: &ValidatingAdmissionPolicy,
    binding: &ValidatingAdmissionPolicyBinding,
) -> Option<String> {
    let spec = policy.spec.clone().unwrap_or_default();
    let bound = binding.spec.clone().unwrap_or_default();
    if policy.metadata.deletion_timestamp.is_some() || binding.metadata.deletion_timestamp.is_some() {
        return Some(format!("the admission policy {name} is being deleted"));
    }
    // These have a parameter of a kind of modelward.io: without its CRD they must not reject core kinds.
    let may_ignore = [gate::NAMES, gate::SCALE_BOUNDS].contains(&name);
    if !may_ignore
        && spec
            .failure_policy
            .as_deref()
            .is_some_and(|policy| policy != "Fail")
    {
        return Some(format!("the admission policy {name} does not fail closed"));
    }
    let conditions = spec.match_conditions.unwrap_or_default();
    let conditions: Vec<&str> = conditions
        .iter()
        .map(|condition| condition.name.as_str())
        .collect();
    let constraints = spec.match_constraints.unwrap_or_default();
    let objects = if name == gate::CHILDREN {
        !selects_label(constraints.object_selector.as_ref())
    } else {
        selects(constraints.object_selector.as_ref())
    };
    if conditions != conditions_of(name) || objects || narrows(&constraints) {
        return Some(format!("the admission policy {name} does not hold everywhere"));
    }
    if bound.policy_name.as_deref() != Some(name) {
        return Some(format!("the binding {name} binds another policy than {name}"));
    }
    if !bound
        .validation_actions
        .is_some_and(|actions| actions.iter().any(|action| action == "Deny"))
    {
        return Some(format!(
            "the binding of the admission policy {name} refuses nothing"
        ));
    }
    let narrowed = bound.match_resources.as_ref().is_some_and(|resources| {
        narrows(resources)
            || selects(resources.object_selector.as_ref())
            || resources
                .resource_rules
                .as_ref()
                .is_some_and(|rules| !rules.is_empty())
    });
    if narrowed || !judges_all_parameters(name, bound.param_ref.as_ref()) {
        return Some(format!(
            "the binding of the admission policy {name} was narrowed: it does not hold everywhere"
        ));
    }
    None
}

/// Whether a policy with Models, ModelVersions or Pods as parameters applies to all of them.
fn judges_all_parameters(name: &str, parameters: Option<&ParamRef>) -> bool {
    let by = |is_whole: fn(Option<&LabelSelector>) -> bool| {
        parameters.is_some_and(|found| {
            found.name.is_none() && found.namespace.is_none() && is_whole(found.selector.as_ref())
        })
    };
    match name {
        gate::NAMES | gate::SCALE_BOUNDS => by(|selector| !selects(selector)),
        gate::EXEC => by(selects_label),
        _ => true,
    }
}

fn narrows(resources: &MatchResources) -> bool {
    selects(resources.namespace_selector.as_ref())
        || resources
            .exclude_resource_rules
            .as_ref()
            .is_some_and(|rules| !rules.is_empty())
}

fn selects(selector: Option<&LabelSelector>) -> bool {
    selector.is_some_and(|selector| {
        selector
            .match_labels
            .as_ref()
            .is_some_and(|labels| !labels.is_empty())
            || selector
                .match_expressions
                .as_ref()
                .is_some_and(|expressions| !expressions.is_empty())
    })
}

/// Whether it selects objects by the label of a model only.
fn selects_label(selector: Option<&LabelSelector>) -> bool {
    let Some(selector) = selector else {
        return false;
    };
    let by_expression = selector
        .match_expressions
        .as_deref()
        .is_some_and(|all| matches!(all, [one] if one.key == labels::MODEL && one.operator == "Exists"));
    by_expression && selector.match_labels.as_ref().is_none_or(BTreeMap::is_empty)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use serde_json::json;

    use super::*;

    fn policy(name: &str) -> ValidatingAdmissionPolicy {
        let conditions: Vec<Value> = conditions_of(name)
            .iter()
            .map(|name| json!({"name": name, "expression": "true"}))
            .collect();
        let failure = if [gate::NAMES, gate::SCALE_BOUNDS].contains(&name) {
            "Ignore"
        } else {
            "Fail"
        };
        let objects = if name == gate::CHILDREN {
            json!({"matchExpressions": [{"key": labels::MODEL, "operator": "Exists"}]})
        } else {
            json!({})
        };
        serde_json::from_value(json!({
            "metadata": {"name": name, "uid": format!("uid of {name}"), "generation": 1},
            "spec": {
                "failurePolicy": failure,
                "matchConditions": conditions,
                "matchConstraints": {"namespaceSelector": {}, "objectSelector": objects},
            },
        }))
        .unwrap()
    }

    fn binding(name: &str) -> ValidatingAdmissionPolicyBinding {
        let parameters = match name {
            gate::NAMES | gate::SCALE_BOUNDS => json!({"selector": {}, "parameterNotFoundAction": "Allow"}),
            gate::EXEC => json!({
                "selector": {"matchExpressions": [{"key": labels::MODEL, "operator": "Exists"}]},
                "parameterNotFoundAction": "Allow",
            }),
            _ => json!({"name": "modelward-gate", "namespace": "system", "parameterNotFoundAction": "Deny"}),
        };
        serde_json::from_value(json!({
            "metadata": {"name": name, "uid": format!("uid of the binding of {name}"), "generation": 1},
            "spec": {"policyName": name, "validationActions": ["Deny", "Audit"], "paramRef": parameters},
        }))
        .unwrap()
    }

    fn whole() -> Policies {
        let all = || gate::ALL.iter().chain(&gate::ALL_CHILDREN);
        Policies {
            policies: all().map(|name| ((*name).to_owned(), policy(name))).collect(),
            bindings: all().map(|name| ((*name).to_owned(), binding(name))).collect(),
        }
    }

    #[test]
    fn each_policy_is_identified_and_those_on_children_only_where_the_chart_brought_them() {
        for (children, count) in [
            (false, gate::ALL.len()),
            (true, gate::ALL.len() + gate::ALL_CHILDREN.len()),
        ] {
            let ids = identify_policies(&whole(), children).unwrap();
            assert_eq!(ids.len(), count);
        }
        for name in gate::ALL_CHILDREN {
            let mut found = whole();
            found.policies.remove(name);
            assert!(identify_policies(&found, false).is_ok());
            let gap = identify_policies(&found, true).unwrap_err();
            assert_eq!(gap, format!("the admission policy {name} does not exist"));
        }
    }

    #[test]
    fn a_policy_or_binding_that_is_narrowed_is_named() {
        for name in gate::ALL.iter().chain(&gate::ALL_CHILDREN) {
            let change =
                |change: &dyn Fn(&mut ValidatingAdmissionPolicy, &mut ValidatingAdmissionPolicyBinding)| {
                    let (mut policy, mut binding) = (policy(name), binding(name));
                    change(&mut policy, &mut binding);
                    find_policy_gap(name, &policy, &binding)
                };
            let narrow: MatchResources =
                serde_json::from_value(json!({"namespaceSelector": {"matchLabels": {"a": "b"}}})).unwrap();
            assert_eq!(change(&|_, _| {}), None);
            let gaps = [
                change(&|policy, _| {
                    let spec = policy.spec.as_mut().unwrap();
                    spec.match_conditions.get_or_insert_default().clear();
                    spec.match_conditions.get_or_insert_default().push(
                        serde_json::from_value(json!({"name": "never", "expression": "false"})).unwrap(),
                    );
                }),
                change(&|policy, _| policy.spec.as_mut().unwrap().match_constraints = Some(narrow.clone())),
                change(&|_, binding| binding.spec.as_mut().unwrap().match_resources = Some(narrow.clone())),
                change(&|_, binding| {
                    binding.spec.as_mut().unwrap().validation_actions = Some(vec!["Audit".into()]);
                }),
                change(&|_, binding| binding.spec.as_mut().unwrap().policy_name = Some("other".into())),
            ];
            for gap in gaps {
                assert!(gap.is_some_and(|gap| gap.contains(name)), "{name}");
            }
        }
        for name in [gate::NAMES, gate::SCALE_BOUNDS, gate::EXEC] {
            let mut bound = binding(name);
            let selector = json!({"matchLabels": {"only": "some"}});
            bound.spec.as_mut().unwrap().param_ref.as_mut().unwrap().selector =
                serde_json::from_value(selector).unwrap();
            assert!(find_policy_gap(name, &policy(name), &bound).is_some(), "{name}");
        }
    }

    #[test]
    fn all_policies_read_the_operators_from_one_config_map() {
        for name in [gate::STATUS, gate::MODELS, gate::ORIGINS, gate::RECORDS] {
            let mut found = whole();
            let bound = found.bindings.get_mut(name).unwrap();
            bound.spec.as_mut().unwrap().param_ref.as_mut().unwrap().name = Some("other".into());
            let gap = identify_policies(&found, false).unwrap_err();
            assert!(gap.contains(name) && gap.contains("another ConfigMap"), "{gap}");
        }
    }
}
