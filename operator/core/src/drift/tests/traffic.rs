//! The amount of traffic.

use modelward_crds::DriftedFeature;

use super::*;

/// These aspects drifted.
fn scene(aspects: &[DriftAspect]) -> Scene {
    let mut scene = Scene::new();
    let one: Decimal = "0.9".parse().unwrap();
    let feature = |aspect: &DriftAspect| DriftedFeature {
        name: "traffic".into(),
        aspect: *aspect,
        test: None,
        effect: one.clone(),
        lower: one.clone(),
        upper: one.clone(),
        tolerance: one.clone(),
        windows: 6,
        log_evidence: one.clone(),
        log_threshold: one.clone(),
    };
    scene.report.status.as_mut().unwrap().features = aspects.iter().map(feature).collect();
    scene
}

#[test]
fn less_traffic_of_the_same_rows_is_an_alert_and_no_retraining() {
    let proposed = scene(&[DriftAspect::Traffic]).proposed(3640);
    assert_eq!(
        (proposed.spec.action, proposed.reason),
        (ActionType::SendAlert, Reason::TrafficChanged)
    );
    assert_eq!(
        proposed.spec.message.unwrap(),
        "the amount of traffic differs; check whether clients reach the model, and which do (147 rows of 10:00-11:00)"
    );
    let refused = scene(&[DriftAspect::Traffic, DriftAspect::TypeErrors]).proposed(3640);
    assert_eq!(refused.reason, Reason::TrafficChanged);
}

#[test]
fn requests_that_the_model_cannot_read_are_an_alert_for_their_clients() {
    let refused = scene(&[DriftAspect::TypeErrors]).proposed(3640);
    assert_eq!(refused.reason, Reason::RefusedRows);
    let refused = scene(&[DriftAspect::Refused]).proposed(3640);
    assert_eq!(
        (refused.spec.action, refused.reason),
        (ActionType::SendAlert, Reason::RefusedRows)
    );
    assert_eq!(
        refused.spec.message.unwrap(),
        "rows are refused that the model cannot read; correct the clients that send them (147 rows of 10:00-11:00)"
    );
    let retrained = scene(&[DriftAspect::Refused, DriftAspect::Values]).proposed(3640);
    assert_eq!(retrained.spec.action, ActionType::RetrainModel);
}

#[test]
fn other_values_are_retrained_on_however_much_traffic_there_is() {
    let proposed = scene(&[DriftAspect::Traffic, DriftAspect::Values]).proposed(3640);
    assert_eq!(proposed.spec.action, ActionType::RetrainModel);
}

#[test]
fn less_traffic_and_refused_requests_of_many_models_stop_no_retraining() {
    for aspect in [DriftAspect::Traffic, DriftAspect::Refused] {
        let report = scene(&[aspect]).report;
        assert_eq!(drifting(std::slice::from_ref(&report), at(3640)).total(), 0);
    }
    let report = scene(&[DriftAspect::Traffic, DriftAspect::Values]).report;
    assert_eq!(drifting(std::slice::from_ref(&report), at(3640)).total(), 1);
    let mut many = scene(&[DriftAspect::Traffic]);
    many.drifting = 99;
    assert_eq!(many.proposed(3640).reason, Reason::TrafficChanged);
}
