//! What a plan shows, what its digest covers, and that neither changes by accident.

use super::*;

/// A change of a plan that is there.
type Change<'a> = &'a dyn Fn(&mut modelward_crds::ActionPlan);

/// Plans as they were made by format 1, and their names.
const FORMAT_1: &str = include_str!("../golden/format-1.tsv");
/// Name, digest and content of plans of format 2.
const FORMAT_2: &str = include_str!("../golden/format-2.tsv");

fn different_fields(plan: &modelward_crds::ActionPlan) -> Vec<&str> {
    plan.differences
        .iter()
        .map(|found| found.field.as_str())
        .collect()
}

fn changed_by(version: &mut ModelVersion, people: &[&str]) {
    let all = version.metadata.annotations.get_or_insert_default();
    for (index, person) in people.iter().enumerate() {
        all.insert(
            format!("{}{}", annotations::CHANGED_BY_PREFIX, index + 1),
            (*person).to_owned(),
        );
    }
}

/// A plan of each kind.
fn every_plan() -> Vec<(&'static str, modelward_crds::ActionPlan)> {
    let mut simulation = Simulation::new([promotion(2)]);
    simulation.settle();
    let promotion_plan = simulation.plan("promote").clone();
    let mut changed = Simulation::new([promotion(2)]);
    changed_by(&mut changed.versions[1], &["eve", "system:serviceaccount:ci:bot"]);
    changed.settle();
    let retrain = retraining(snapshot(294, Some(106)));
    simulation.approve("promote", "alice");
    simulation.roll_out();
    simulation.settle();
    simulation.now += 700;
    simulation.settle();
    simulation
        .actions
        .insert("back".into(), action("back", "RollbackModel", json!({})));
    simulation.settle();
    let mut alert = Simulation::new([action("alert", "SendAlert", json!({"message": "heart drifts"}))]);
    alert.settle();
    let mut dry = promotion(2);
    dry.metadata.name = Some("dry".into());
    dry.spec.dry_run = true;
    let mut dry_run = Simulation::new([dry]);
    dry_run.settle();
    let mut unguarded = Simulation::new([promotion(2)]);
    unguarded.gate.ids = None;
    unguarded.policy.high_approvals = 3;
    unguarded.settle();
    let mut addressed = Simulation::new([]);
    let spec = &mut addressed.versions[0].spec;
    let retraining_spec = spec.retraining.as_mut().unwrap();
    retraining_spec.datasets[0].dataset = object(json!({
        "uri": "https://data.example:8443/hungarian.csv", "sha256": digest(5),
    }));
    retraining_spec.serve_when_gates_pass = false;
    let training = spec.source.training.as_mut().unwrap();
    training.gates = vec![object(json!({"metric": "Brier", "atMost": "0.2"}))];
    addressed
        .actions
        .insert("retrain".into(), action("retrain", "RetrainModel", json!({})));
    addressed.job = snapshot(294, Some(106));
    addressed.settle();
    let mut covered = retraining(snapshot(294, Some(106)));
    covered.approve("retrain", "alice");
    super::gates(&mut covered, "True");
    let (child, _) = covered
        .actions
        .iter()
        .find(|(_, action)| action.spec.parent_ref.is_some())
        .unwrap();
    let covered_plan = covered.plan(child).clone();
    vec![
        ("promotion", promotion_plan),
        ("promotion of a changed version", changed.plan("promote").clone()),
        ("retraining", retrain.plan("retrain").clone()),
        ("rollback", simulation.plan("back").clone()),
        ("alert", alert.plan("alert").clone()),
        ("dry run", dry_run.plan("dry").clone()),
        (
            "promotion without admission policies",
            unguarded.plan("promote").clone(),
        ),
        ("retraining from an address", addressed.plan("retrain").clone()),
        ("covered promotion", covered_plan),
    ]
}

#[test]
fn contents_and_digests_of_format_2_are_the_golden_ones() {
    let plans = every_plan();
    let lines: Vec<String> = plans
        .iter()
        .map(|(name, plan)| format!("{name}\t{}\t{}", plan.digest, plan.content))
        .collect();
    for line in &lines {
        let name = line.split('\t').next().unwrap();
        let golden = FORMAT_2
            .lines()
            .find(|golden| golden.split('\t').next() == Some(name));
        assert_eq!(
            Some(line.as_str()),
            golden,
            "the line of this plan in golden/format-2.tsv"
        );
    }
    assert_eq!(
        lines.len(),
        FORMAT_2.lines().count(),
        "golden plans that are not made any more"
    );
    for action in modelward_crds::ActionType::ALL {
        let is_of_type = |plan: &modelward_crds::ActionPlan| {
            let content: Value = serde_json::from_str(&plan.content).unwrap();
            content["action"]["type"] == json!(action)
        };
        assert!(
            plans.iter().any(|(_, plan)| is_of_type(plan)),
            "{action} has no golden plan"
        );
    }
}

#[test]
fn format_2_says_everything_that_format_1_said_in_the_same_words() {
    let new = every_plan();
    let mut compared = 0;
    for line in FORMAT_1.lines() {
        let (name, plan) = line.split_once('\t').unwrap();
        let old: modelward_crds::ActionPlan = serde_json::from_str(plan).unwrap();
        assert!(
            content::is_whole(&old),
            "{name}: a plan under way goes on after an upgrade"
        );
        let (_, new) = new.iter().find(|(of, _)| *of == name).unwrap();
        assert_ne!(old.digest, new.digest);
        let mut old: Value = serde_json::from_str(&old.content).unwrap();
        let mut new: Value = serde_json::from_str(&new.content).unwrap();
        new["planFormat"] = json!(1);
        for content in [&mut old, &mut new] {
            // Guard rails have other defaults and more of them; who made a version may not approve its retraining either.
            let fields = content.as_object_mut().unwrap();
            fields.remove("policy");
            fields.remove("excludedApprovers");
        }
        new.as_object_mut().unwrap().remove("changedBy");
        new.as_object_mut().unwrap().remove("version");
        if let Some(training) = new.get_mut("training").and_then(Value::as_object_mut) {
            training.remove("target");
            training.remove("datasets");
        }
        assert_eq!(old, new, "{name}");
        compared += 1;
    }
    assert_eq!(compared, 4);
}

#[test]
fn the_plan_of_a_retraining_shows_hosts_margin_champion_and_who_changed_the_version() {
    let mut simulation = Simulation::new([]);
    let target = &mut simulation.versions[0];
    let retraining = target.spec.retraining.as_mut().unwrap();
    retraining.margin = "0.99".parse().unwrap();
    retraining.datasets[0].dataset = object(json!({
        "uri": "https://data.hospital.example@evil.example:8443/hungarian.csv?token=1", "sha256": digest(5),
    }));
    changed_by(target, &["eve"]);
    simulation
        .actions
        .insert("retrain".into(), action("retrain", "RetrainModel", json!({})));
    simulation.job = snapshot(294, Some(106));
    simulation.settle();
    let plan = simulation.plan("retrain");
    for shown in [
        "host evil.example:8443, hungarian.csv",
        "ConfigMap heart-disease, key cleveland.csv",
        "at most 0.99 worse than that of heart-1",
        &digest(1).short(),
        "spec of heart-1 changed since it was created, by eve",
        "risk Medium, 1 approval, not by maker, eve, proposer, until ",
    ] {
        assert!(plan.summary.contains(shown), "{shown} is not in {}", plan.summary);
    }
    assert_eq!(plan.excluded_approvers, ["maker", "eve"]);
    assert_eq!(plan.changed_by, ["eve"]);
    let training = plan.training.clone().unwrap();
    assert_eq!(training.datasets[1].host.as_deref(), Some("evil.example:8443"));
    assert_eq!(training.datasets[1].sha256, Some(digest(5)));
    assert_eq!(training.not_worse_than.unwrap().margin.as_str(), "0.99");
    let content: Value = serde_json::from_str(&plan.content).unwrap();
    assert_eq!(content["training"]["notWorseThan"]["margin"], "0.99");
    assert_eq!(content["training"]["datasets"][1]["host"], "evil.example:8443");

    simulation.approve("retrain", "eve");
    simulation.succeeded("retrain", "Unknown", "AwaitingApproval");
    simulation.approve("retrain", "maker");
    simulation.succeeded("retrain", "Unknown", "AwaitingApproval");
    simulation.approve("retrain", "alice");
    simulation.succeeded("retrain", "Unknown", "Training");
}

#[test]
fn who_changes_a_version_after_an_approval_voids_it() {
    let mut simulation = Simulation::new([promotion(2)]);
    simulation.policy.medium_approvals = 2;
    simulation.settle().approve("promote", "eve");
    changed_by(&mut simulation.versions[1], &["eve"]);
    simulation.settle();
    simulation.succeeded("promote", "Unknown", "PlanChanged");
    assert!(
        simulation
            .plan("promote")
            .summary
            .contains("changed since it was created, by eve")
    );
    simulation.approve("promote", "alice");
    simulation.approve("promote", "eve");
    assert_eq!(simulation.serves(), ["heart-1"]);
    simulation.approve("promote", "bob");
    assert_eq!(simulation.serves(), ["heart-2"]);
}

/// The person is known, so that nothing but the generation says that the spec is another one.
#[test]
fn a_second_change_by_the_same_person_voids_an_approval() {
    let mut simulation = Simulation::new([promotion(2)]);
    simulation.policy.medium_approvals = 2;
    simulation.versions[1].metadata.generation = Some(2);
    changed_by(&mut simulation.versions[1], &["eve"]);
    simulation.settle().approve("promote", "alice");
    simulation.versions[1].metadata.generation = Some(3);
    simulation.settle();
    simulation.succeeded("promote", "Unknown", "PlanChanged");
    let status = simulation.actions["promote"].status.as_ref().unwrap();
    let approved = conditions::find(&status.conditions, ConditionType::Approved).unwrap();
    assert!(
        approved
            .message
            .starts_with("the spec of the version changed, so this is a new plan"),
        "{}",
        approved.message
    );
    simulation.approve("promote", "bob");
    assert_eq!(simulation.serves(), ["heart-1"]);
    simulation.approve("promote", "alice");
    assert_eq!(simulation.serves(), ["heart-2"]);
}

#[test]
fn the_plan_of_a_promotion_shows_data_gates_and_pods() {
    let mut simulation = Simulation::new([promotion(2)]);
    simulation.settle();
    let shown = "; trained on 303 rows (sha256:666666666666): ConfigMap heart-disease, key cleveland.csv, 303 rows; F1 is at least 0.75; 2 to 4 Pods; otherwise as heart-1; risk Medium";
    let summary = &simulation.plan("promote").summary;
    assert!(summary.contains(shown), "{summary}");
}

#[test]
fn the_plan_of_a_promotion_names_every_field_in_which_it_differs_from_what_serves() {
    let mut simulation = Simulation::new([promotion(2)]);
    simulation.settle();
    let plan = simulation.plan("promote");
    assert_eq!(plan.differences, []);
    assert!(
        plan.summary.contains("; otherwise as heart-1; risk"),
        "{}",
        plan.summary
    );

    let mut simulation = Simulation::new([promotion(2)]);
    let spec = &mut simulation.versions[1].spec;
    let training = spec.source.training.as_mut().unwrap();
    training.target = object(json!({"column": "num", "positiveWhen": {"equals": "0"}}));
    training.exclude = vec!["sex".to_owned()];
    spec.monitoring.minimum_rows = 1_000_000_000;
    simulation.settle();
    let plan = simulation.plan("promote");
    let fields = different_fields(plan);
    assert_eq!(
        fields,
        [
            "source.training.exclude",
            "source.training.target.positiveWhen.equals",
            "source.training.target.positiveWhen.greaterThan",
            "monitoring.minimumRows"
        ]
    );
    let words = "; differs from heart-1 in source.training.exclude (set to [\"sex\"]), source.training.target.positiveWhen.equals \
        (set to \"0\"), source.training.target.positiveWhen.greaterThan (\"0\" removed), monitoring.minimumRows \
        (100 to 1000000000); risk";
    assert!(plan.summary.contains(words), "{}", plan.summary);
}

#[test]
fn a_file_of_the_same_name_with_other_bytes_is_a_difference() {
    let mut simulation = Simulation::new([promotion(2)]);
    let status = simulation.versions[1].status.as_mut().unwrap();
    status.sources[0].sha256 = digest(77);
    status.sources[0].positive_rows = Some(24);
    simulation.settle();
    let plan = simulation.plan("promote");
    assert_eq!(plan.differences.len(), 1);
    assert!(
        plan.differences[0].field.starts_with("bytes of "),
        "{:?}",
        plan.differences
    );
    let after = plan.differences[0].after.as_deref().unwrap();
    assert_eq!(after, format!("{}, 303 rows, 24 of class 1", digest(77).short()));
}

#[test]
fn a_difference_within_a_list_is_shown_where_it_is() {
    let mut simulation = Simulation::new([promotion(2)]);
    let with = |swapped: bool| {
        let mut columns: Vec<String> = (0..14).map(|number| format!("column-{number}")).collect();
        if swapped {
            columns.swap(9, 13);
        }
        object(json!([{"name": "hungarian", "dataset": {
            "configMap": {"name": "heart-disease", "key": "hungarian.csv"}, "csv": {"header": false, "columns": columns},
        }}]))
    };
    let source = |version: &mut ModelVersion, swapped| {
        let training = version.spec.source.training.as_mut().unwrap();
        training.additional_datasets = with(swapped);
        let status = version.status.as_mut().unwrap();
        let mut file = status.sources[0].clone();
        file.name = "hungarian.csv".to_owned();
        status.sources.push(file);
    };
    source(&mut simulation.versions[0], false);
    source(&mut simulation.versions[1], true);
    simulation.settle();
    let shown: Vec<_> = simulation
        .plan("promote")
        .differences
        .iter()
        .map(|found| (found.field.clone(), found.before.clone(), found.after.clone()))
        .collect();
    let at = |place: usize, before: &str, after: &str| {
        let field = format!("source.training.additionalDatasets[hungarian].dataset.csv.columns[{place}]");
        (field, Some(format!("{before:?}")), Some(format!("{after:?}")))
    };
    assert_eq!(
        shown,
        [at(9, "column-9", "column-13"), at(13, "column-13", "column-9")]
    );
}

#[test]
fn a_long_list_does_not_crowd_out_what_else_differs() {
    let mut simulation = Simulation::new([promotion(2)]);
    let spec = &mut simulation.versions[1].spec;
    let tolerances: Vec<_> = (0..300)
        .map(|number| json!({"feature": format!("f{number:03}"), "tolerance": "0.2"}))
        .collect();
    spec.monitoring.tolerances = object(json!(tolerances));
    spec.monitoring.minimum_rows = 1_000_000_000;
    simulation.settle();
    let plan = simulation.plan("promote");
    let fields = different_fields(plan);
    assert!(fields.contains(&"monitoring.minimumRows"), "{fields:?}");
    assert!(
        fields.contains(&"monitoring.tolerances[f000].feature"),
        "{fields:?}"
    );
    assert!(
        fields.contains(&"584 more in monitoring.tolerances"),
        "{fields:?}"
    );
}

#[test]
fn files_that_what_serves_was_trained_on_and_that_are_not_known_are_a_difference() {
    let mut simulation = Simulation::new([promotion(2)]);
    simulation.versions[0].status.as_mut().unwrap().sources.clear();
    simulation.settle();
    let plan = simulation.plan("promote");
    assert_eq!(plan.differences.len(), 1);
    assert_eq!(plan.differences[0].before.as_deref(), Some("not known"));
    assert!(
        plan.summary
            .contains("bytes of cleveland.csv (not known to sha256:"),
        "{}",
        plan.summary
    );
}

#[test]
fn a_plan_over_a_version_that_is_gone_shows_the_whole_spec() {
    let mut simulation = Simulation::new([promotion(2)]);
    simulation.versions.remove(0);
    simulation.settle();
    let summary = &simulation.plan("promote").summary;
    assert!(summary.contains("; its spec: "), "{summary}");
    assert!(
        summary.contains("source.training.target.column (set to \"num\")"),
        "{summary}"
    );
}

#[test]
fn the_plan_of_a_given_bundle_says_that_it_read_no_data_and_asked_for_no_gates() {
    let mut simulation = Simulation::new([promotion(2)]);
    simulation.versions[1].spec.source = object(json!({"artifact": {"bundle": digest(2)}}));
    simulation.settle();
    let summary = &simulation.plan("promote").summary;
    for shown in [
        "; its spec names the bundle: no data was read, and no gates were asked for; 2 to 4 Pods; differs from heart-1 in ",
        "source.artifact.bundle (set to ",
        "source.training.target.column (\"num\" removed)",
    ] {
        assert!(summary.contains(shown), "{shown} is not in {summary}");
    }
}

#[test]
fn the_plan_of_an_imported_model_says_what_it_is_from() {
    let mut simulation = Simulation::new([promotion(2)]);
    let version = &mut simulation.versions[1];
    version.spec.source = object(
        json!({"artifact": {"mlflow": {"uri": "http://mlflow:5000", "model": "heart", "alias": "champion"}}}),
    );
    version.status.as_mut().unwrap().imported =
        object(json!({"format": "LightGBM text", "file": digest(5), "mlflow": {"version": "7"}}));
    simulation.settle();
    let summary = &simulation.plan("promote").summary;
    let shown = format!(
        "; imported from LightGBM text ({}), version 7 of the registered model: no training data was read, and no gates were asked for",
        digest(5).short()
    );
    assert!(summary.contains(&shown), "{summary}");
}

#[test]
fn a_retraining_shows_what_it_changes_beside_its_data() {
    let mut simulation = retraining(snapshot(294, Some(106)));
    simulation.settle();
    let summary = simulation.plan("retrain").summary.clone();
    assert!(summary.contains("; otherwise as heart-1; risk"), "{summary}");
}

#[test]
fn text_of_an_address_cannot_be_read_as_more_of_the_summary() {
    let mut simulation = Simulation::new([promotion(2)]);
    let training = simulation.versions[1].spec.source.training.as_mut().unwrap();
    training.dataset = object(json!({
        "uri": "http://10.0.0.1:99/x/a.csv,\u{a0}303\u{a0}rows;F1-is-at-least-0.95;\u{202e}",
    }));
    simulation.settle();
    let summary = &simulation.plan("promote").summary;
    assert!(
        summary.contains(
            r#"host 10.0.0.1:99, "a.csv,\\u{a0}303\\u{a0}rows;F1-is-at-least-0.95;\\u{202e}", 303 rows"#
        ),
        "{summary}"
    );
    assert!(summary.is_ascii(), "{summary}");
}

#[test]
fn the_plan_of_a_promotion_says_where_its_spec_names_data_or_a_champion_that_nothing_proves() {
    let summary_with = |bundle: u8| {
        let mut simulation = Simulation::new([promotion(2)]);
        let training = simulation.versions[1].spec.source.training.as_mut().unwrap();
        training.snapshot = Some(digest(66));
        training.not_worse_than = Some(object(
            json!({"version": "heart-1", "bundle": digest(bundle), "margin": "0.1"}),
        ));
        simulation.settle();
        simulation.plan("promote").summary.clone()
    };
    let summary = summary_with(67);
    for shown in [
        format!(
            "snapshot {}, which its spec names instead of reading ConfigMap heart-disease",
            digest(66).short()
        ),
        format!(
            "that of heart-1 (bundle {}), a bundle that is not known to belong to heart-1",
            digest(67).short()
        ),
    ] {
        assert!(summary.contains(&shown), "{shown} is not in {summary}");
    }
    let summary = summary_with(1);
    assert!(!summary.contains("not known"), "{summary}");
}

#[test]
fn a_version_that_was_changed_after_its_retraining_made_it_is_not_covered_by_the_approval() {
    let mut simulation = retraining(snapshot(294, Some(106)));
    simulation.approve("retrain", "alice");
    let made = simulation.versions.last_mut().unwrap();
    made.metadata.generation = Some(2);
    changed_by(made, &["eve"]);
    super::gates(&mut simulation, "True");
    assert_eq!(simulation.serves(), ["heart-1"]);
}

#[test]
fn what_a_plan_shows_is_what_its_digest_is_over() {
    let changes: [(&str, Change<'_>); 11] = [
        ("generation", &|plan| {
            plan.version.as_mut().unwrap().generation += 1;
        }),
        ("changed by", &|plan| plan.changed_by = vec!["eve".into()]),
        ("target", &|plan| {
            plan.training.as_mut().unwrap().target.name = "heart-9".into();
        }),
        ("host", &|plan| {
            plan.training.as_mut().unwrap().datasets[0].host = Some("good.example".into());
        }),
        ("location", &|plan| {
            plan.training.as_mut().unwrap().datasets[0].location = "ConfigMap good, key x".into();
        }),
        ("gates", &|plan| plan.training.as_mut().unwrap().gates.clear()),
        ("margin", &|plan| {
            let champion = plan.training.as_mut().unwrap().not_worse_than.as_mut().unwrap();
            champion.margin = "0.01".parse().unwrap();
        }),
        ("no training", &|plan| plan.training = None),
        ("rows of a source", &|plan| plan.sources[0].rows = 1),
        ("rows", &|plan| plan.snapshot.as_mut().unwrap().rows = Some(1)),
        ("rows of the window", &|plan| {
            plan.reference.as_mut().unwrap().rows = Some(1);
        }),
    ];
    for (what, change) in changes {
        let simulation = retraining(snapshot(294, Some(106)));
        let mut plan = simulation.plan("retrain").clone();
        assert!(content::is_whole(&plan));
        change(&mut plan);
        assert!(!content::is_whole(&plan), "{what} is shown and not covered");
    }
}

#[test]
fn the_longest_plan_is_shown_whole_and_fits() {
    let mut simulation = Simulation::new([action("retrain", "RetrainModel", json!({}))]);
    let target = &mut simulation.versions[0];
    let long = |number: usize| {
        object(json!({"uri": format!("https://{}.example/{}", "h".repeat(200), "x".repeat(1800 + number))}))
    };
    let named = |number: usize| modelward_crds::NamedDataset {
        name: format!("{}{number}", "n".repeat(39)),
        dataset: long(number),
    };
    target.spec.source.training.as_mut().unwrap().dataset = long(0);
    target.spec.source.training.as_mut().unwrap().additional_datasets = (1..9).map(named).collect();
    target.spec.retraining.as_mut().unwrap().datasets = (9..17).map(named).collect();
    let people: Vec<String> = (0..16)
        .map(|number| format!("{number}{}", "u".repeat(200)))
        .collect();
    changed_by(target, &people.iter().map(String::as_str).collect::<Vec<_>>());
    let mut result = JobResult::new(JobStage::Snapshot, JobVerdict::Succeeded, "done");
    result.digest = Some(digest(77));
    result.rows = Some(900);
    result.sources = (0..16)
        .map(|number| SourceRecord {
            name: "s".repeat(256),
            sha256: digest(number),
            rows: 100,
            positive_rows: Some(50),
        })
        .collect();
    simulation.job = JobSeen::Finished(Box::new(result));
    simulation.settle();
    simulation.succeeded("retrain", "Unknown", "AwaitingApproval");
    let plan = simulation.plan("retrain");
    assert!(
        plan.summary.contains("risk Medium, 1 approval") && plan.summary.ends_with('Z'),
        "cut"
    );
    assert!(plan.summary.chars().count() < 16_384, "{}", plan.summary.len());
    assert!(plan.content.chars().count() < 65536, "{}", plan.content.len());
    assert!(simulation.says("retrain", ConditionType::Approved).1 == "AwaitingApproval");
    let status = simulation.actions["retrain"].status.as_ref().unwrap();
    let approved = conditions::find(&status.conditions, ConditionType::Approved).unwrap();
    assert!(
        approved.message.contains("modelward.io/approve=true"),
        "{}",
        approved.message
    );
}
