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
fn an_alert_for_another_reason_does_not_keep_one_back() {
    let refused = scene(&[DriftAspect::TypeErrors]);
    let Decision::Propose(proposed) = refused.decide(3640) else {
        panic!("it is proposed");
    };
    let report = validate(refused.report.clone()).unwrap();
    let remembered = proposed.remembered(&report, at(3640));
    let mut stopped = scene(&[DriftAspect::Traffic]);
    stopped.report.metadata.uid = Some("another report".into());
    stopped.model.status.as_mut().unwrap().proposals = vec![remembered.clone()];
    assert_eq!(stopped.proposed(3700).reason, Reason::TrafficChanged);
    let mut again = scene(&[DriftAspect::Refused]);
    again.report.metadata.uid = Some("another report".into());
    again.model.status.as_mut().unwrap().proposals = vec![remembered];
    assert_eq!(again.kept(3700), Reason::CoolDown);
}

#[test]
fn a_report_that_a_user_requested_leads_to_no_proposal() {
    let mut scene = scene(&[DriftAspect::Values]);
    assert_eq!(scene.proposed(3640).spec.action, ActionType::RetrainModel);
    scene.report.metadata.owner_references = None;
    assert_eq!(scene.kept(3640), Reason::OnRequest);
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
