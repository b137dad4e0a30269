//! Several datasets, the champion and the accepted window: Cleveland's patients first, then Hungary's.

use std::path::{Path, PathBuf};

use modelward_crds::{AcceptedWindow, TrainingSource};
use modelward_model::{Bundle, FeatureKind, Row, Value, bundle::file, sha256};
use modelward_profile::{
    Bins, ChosenBy, Counts, FeatureJudgement, Judgement, Observed, Reference, Rule, WindowCounts,
    bins::BinKind, judge,
};
use modelward_trainer::{
    data::{
        dataset::Dataset,
        freeze::{Frozen, freeze},
        snapshot::{self, Snapshot},
        source::Fetch,
    },
    fit::{
        compare::Opponent,
        plan::Plan,
        reference::{self, Window},
        train::{Trained, train},
    },
    spec::{self, Spec},
};
use modelward_wire::{Decimal, Digest, DriftAspect, DriftVerdict, JobResult, SourceRecord, Verdict};

use crate::{
    ledger::{Ledger, TRAINER},
    sample_data, samples, spec, text,
};

fn hungarian() -> PathBuf {
    samples().join("heart-disease/hungarian.csv")
}

/// Adds the Hungarian patients, and these lines, to the training of the sample.
fn with_hungarian(text: &str, lines: &[String]) -> String {
    let csv = &text[text.find("        csv:").unwrap()..text.find("      target:").unwrap()];
    let csv = csv.replace("\n  ", "\n      ");
    let mut more = format!(
        "      additionalDatasets:\n        - name: hungarian\n          dataset:\n            configMap: {{name: heart-disease, \
         key: hungarian.csv}}\n    {}\n",
        csv.trim_end()
    );
    more.extend(lines.iter().map(|line| format!("      {line}\n")));
    text.replace("      target:", &format!("{more}      target:"))
}

fn not_worse_than(bundle: &Digest) -> String {
    format!("notWorseThan: {{version: heart-1, bundle: \"{bundle}\"}}")
}

fn accepted(counts: &Digest, rows: u64) -> String {
    format!(
        "reference: {{counts: \"{counts}\", rows: {rows}, startTime: \"2026-11-23T10:00:00Z\", endTime: \
         \"2026-11-23T11:00:00Z\"}}"
    )
}

/// Both Jobs.
fn trained(ledger: &Ledger, spec: &Path, sources: &[&Path]) -> JobResult {
    let mut arguments = vec!["snapshot", "--spec", text(spec)];
    for source in sources {
        arguments.extend(["--source", text(source)]);
    }
    let (_, result) = ledger.run(&arguments);
    assert_eq!(result.verdict, Verdict::Succeeded, "{}", result.message);
    let snapshot = result.digest.unwrap().to_string();
    let (output, result) = ledger.run(&["fit", "--spec", text(spec), "--snapshot", &snapshot]);
    assert!(output.status.success());
    assert_eq!(ledger.recorded(), result);
    result
}

/// What a spec without a cluster freezes.
fn frozen(training: &TrainingSource, files: &[PathBuf]) -> Snapshot {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let version = Spec {
        model: "heart".to_owned(),
        training: training.clone(),
        tolerances: Vec::new(),
        digest: spec::training_digest(training).unwrap(),
    };
    let fetch = Fetch::anywhere();
    let frozen = freeze(&version, files, &fetch);
    let Frozen::Built(built) = runtime.block_on(frozen).unwrap() else {
        unreachable!("the sample data are valid")
    };
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("snapshot");
    built.files.write(&dir).unwrap();
    snapshot::open(&dir, None).unwrap()
}

fn fitted(data: &Dataset, training: &TrainingSource) -> Trained {
    let plan = Plan {
        repeats: 2,
        ..Plan::new(training)
    };
    train(data, &plan, 2, &|_| ()).unwrap()
}

/// Counts of these rows in these bins, as a server counts them that scores with `score`.
fn counted(bins: &Bins, data: &Dataset, rows: &[usize], score: impl Fn(&Row) -> f64) -> Counts {
    let mut counts = Counts::new(bins);
    for row in rows {
        let row = &data.row(*row);
        let kinds = data.schema.features.iter().zip(&bins.features);
        let observed: Vec<Observed> = kinds
            .zip(row.values())
            .map(
                |((feature, counted), value)| match (value, &feature.kind, &counted.bins) {
                    (Value::Number(number), ..) => Observed::Number(*number),
                    (
                        Value::Category(index),
                        FeatureKind::Categorical { categories },
                        BinKind::Categorical { categories: known },
                    ) => known
                        .iter()
                        .position(|word| *word == categories[*index as usize])
                        .map_or(Observed::NewCategory, |index| Observed::Category(index as u32)),
                    _ => Observed::Missing,
                },
            )
            .collect();
        let score = score(row);
        counts
            .add_row(bins, observed, score, u8::from(score >= 0.5))
            .unwrap();
    }
    counts
}

/// SplitMix64 and Fisher-Yates.
fn shuffled(mut rows: Vec<usize>, seed: u64) -> Vec<usize> {
    let mut state = seed;
    for last in (1..rows.len()).rev() {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        rows.swap(last, (z % (last as u64 + 1)) as usize);
    }
    rows
}

/// The judgement on the first hour.
fn judged(reference: &Reference, counts: &Counts) -> Judgement {
    let windows = [WindowCounts {
        from: 0,
        to: 3600,
        counts,
    }];
    judge(reference, &windows, &Rule::default()).unwrap()
}

fn drifted(judgement: &Judgement, aspect: DriftAspect) -> Vec<&str> {
    let has_drifted = |feature: &&FeatureJudgement| {
        let of_aspect = feature.tests.iter().filter(|test| test.aspect == aspect);
        of_aspect
            .into_iter()
            .any(|test| test.comparison.verdict == DriftVerdict::Drift)
    };
    let found = judgement.features.iter().filter(has_drifted);
    found.map(|feature| feature.name.as_str()).collect()
}

#[test]
fn the_union_of_two_files_is_one_snapshot_with_two_sources() {
    let ledger = Ledger::start();
    let temp = tempfile::tempdir().unwrap();
    let spec = spec(temp.path(), |text| with_hungarian(&text, &[]));
    let (data, more) = (sample_data(), hungarian());
    let run = |first: &Path, second: &Path| {
        ledger.run(&[
            "snapshot",
            "--spec",
            text(&spec),
            "--source",
            text(first),
            "--source",
            text(second),
        ])
    };
    let (_, result) = run(&data, &more);
    assert_eq!(result.verdict, Verdict::Succeeded, "{}", result.message);
    assert_eq!(result.rows, Some(597));
    let source = |name: &str, file: &Path, rows, positive| SourceRecord {
        name: format!("configMap heart-disease/{name}"),
        sha256: sha256(&std::fs::read(file).unwrap()),
        rows,
        positive_rows: Some(positive),
    };
    let sources = [
        source("cleveland.csv", &data, 303, 139),
        source("hungarian.csv", &more, 294, 106),
    ];
    assert_eq!(result.sources, sources);
    assert!(
        result.message.contains("cleveland.csv + configMap"),
        "{}",
        result.message
    );
    assert_eq!(
        run(&data, &more).1.digest,
        result.digest,
        "the same files, the same snapshot"
    );
    assert_ne!(
        run(&more, &data).1.digest,
        result.digest,
        "their order is the rows' order"
    );
    let output = ledger
        .command(&["snapshot", "--spec", text(&spec), "--source", text(&data)])
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(log.contains("--source is given 1 times"), "{log}");
}

#[test]
fn a_dataset_that_breaks_a_rule_is_named() {
    let ledger = Ledger::start();
    let temp = tempfile::tempdir().unwrap();
    let spec = spec(temp.path(), |text| with_hungarian(&text, &[]));
    let wrong = temp.path().join("wrong.csv");
    let rows = std::fs::read_to_string(hungarian()).unwrap();
    std::fs::write(&wrong, rows.replacen("28,1,2,", "old,1,2,", 1)).unwrap();
    let (_, result) = ledger.run(&[
        "snapshot",
        "--spec",
        text(&spec),
        "--source",
        text(&sample_data()),
        "--source",
        text(&wrong),
    ]);
    assert_eq!(result.verdict, Verdict::DataInvalid);
    let found = &result.violations[0];
    assert_eq!(
        (found.column.as_str(), found.rule.as_str(), found.example_row),
        ("age", "Type", Some(1))
    );
    assert!(found.message.starts_with("hungarian: "), "{}", found.message);
}

#[test]
fn a_retraining_is_compared_with_the_champion_and_takes_over_the_window() {
    let ledger = Ledger::start();
    let temp = tempfile::tempdir().unwrap();
    let first = trained(&ledger, &spec(temp.path(), |text| text), &[&sample_data()]);
    let champion = first.digest.unwrap();

    // The window that the ledger keeps: half of Hungary, in the champion's bins.
    let dir = ledger.kept(&champion);
    let of_champion: Reference =
        serde_json::from_slice(&std::fs::read(dir.join(file::REFERENCE)).unwrap()).unwrap();
    let bundle = Bundle::open(&dir, &champion).unwrap();
    let training = spec::parse(&with_hungarian(
        &std::fs::read_to_string(samples().join("heart-1.yaml")).unwrap(),
        &[],
    ))
    .unwrap()
    .training;
    let union = frozen(&training, &[sample_data(), hungarian()]).data;
    let counts = counted(
        &of_champion.bins,
        &union,
        &(303..450).collect::<Vec<_>>(),
        |row| bundle.score(row),
    );
    let window = serde_json::to_vec(&Reference {
        bins: of_champion.bins.clone(),
        counts,
        chosen_by: ChosenBy::None,
        phases: None,
    })
    .unwrap();
    let digest = sha256(&window);
    let mut state = ledger.state.lock().unwrap();
    state.objects.insert(
        format!("artifacts/hospital/blobs/{digest}"),
        window.clone().into(),
    );
    drop(state);

    let change = |lines: &[String]| spec(temp.path(), |text| with_hungarian(&text, lines));
    let wanted = change(&[not_worse_than(&champion), accepted(&digest, 147)]);
    let result = trained(&ledger, &wanted, &[&sample_data(), &hungarian()]);
    assert_eq!(result.verdict, Verdict::Succeeded, "{}", result.message);
    assert!(
        result.message.contains("not worse than heart-1"),
        "{}",
        result.message
    );
    let bounds: Vec<String> = result.gates.iter().map(|gate| gate.bound.to_string()).collect();
    assert_eq!(
        bounds,
        [
            "atLeast 0.75",
            "notWorseThan heart-1 by 0.03 on all rows",
            "notWorseThan heart-1 by 0.03 on new rows"
        ]
    );
    assert!(
        result.gates.iter().all(|gate| gate.metric == "F1" && gate.passed),
        "{:?}",
        result.gates
    );

    let dir = ledger.kept(&result.digest.unwrap());
    let served = Bundle::open(&dir, &result.digest.unwrap()).unwrap();
    assert_eq!(served.verify_warm_up().unwrap(), 33);
    let read = |name: &str| std::fs::read(dir.join(name)).unwrap();
    let reference: Reference = serde_json::from_slice(&read(file::REFERENCE)).unwrap();
    reference.check().unwrap();
    assert_eq!(reference.bins.features, of_champion.bins.features);
    assert_eq!(
        (reference.counts.features.rows, reference.counts.score.rows),
        (147, 294)
    );
    let named: AcceptedWindow = serde_json::from_slice(&read(file::ACCEPTED_WINDOW)).unwrap();
    assert_eq!((named.counts, named.rows), (digest, 147));
    assert!(
        String::from_utf8(read(file::CARD))
            .unwrap()
            .contains("Compared with heart-1")
    );

    // Without a cluster, with any threads: the same bundle.
    let file = temp.path().join("window.json");
    std::fs::write(&file, &window).unwrap();
    let champion_dir = ledger.kept(&champion);
    let out = temp.path().join("again");
    let output = std::process::Command::new(TRAINER)
        .args(["fit", "--spec", text(&wanted), "--threads", "3"])
        .args(["--source", text(&sample_data()), "--source", text(&hungarian())])
        .args(["--champion", text(&champion_dir), "--window", text(&file)])
        .args(["--out", text(&out)])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(
        sha256(&std::fs::read(out.join("manifest.json")).unwrap()),
        result.digest.unwrap()
    );

    // What cannot be compared is the spec's fault, and says so.
    let elsewhere = sha256(b"elsewhere");
    for (lines, expected) in [
        (
            vec![not_worse_than(&elsewhere)],
            "which is not in the artifact store",
        ),
        (
            vec![accepted(&elsewhere, 147)],
            "which are not in the artifact store",
        ),
        (vec![accepted(&digest, 148)], "are of 147 rows, the spec says 148"),
        (
            vec![format!("snapshot: \"{elsewhere}\"")],
            "the spec names the snapshot",
        ),
    ] {
        let snapshot = change(&[]);
        let (_, made) = ledger.run(&[
            "snapshot",
            "--spec",
            text(&snapshot),
            "--source",
            text(&sample_data()),
            "--source",
            text(&hungarian()),
        ]);
        let (_, result) = ledger.run(&[
            "fit",
            "--spec",
            text(&change(&lines)),
            "--snapshot",
            &made.digest.unwrap().to_string(),
        ]);
        assert_eq!(result.verdict, Verdict::SpecInvalid);
        assert!(result.message.contains(expected), "{}", result.message);
    }
}

#[test]
fn a_challenger_that_learned_from_shuffled_labels_is_worse_and_the_same_data_again_are_not() {
    let ledger = Ledger::start();
    let temp = tempfile::tempdir().unwrap();
    let plain = spec(temp.path(), |text| text);
    let champion = trained(&ledger, &plain, &[&sample_data()]).digest.unwrap();

    let rows = std::fs::read_to_string(hungarian()).unwrap();
    let (values, labels): (Vec<&str>, Vec<&str>) =
        rows.lines().map(|row| row.rsplit_once(',').unwrap()).unzip();
    let order = shuffled((0..labels.len()).collect(), 1);
    let mixed: Vec<String> = values
        .iter()
        .zip(order)
        .map(|(values, label)| format!("{values},{}", labels[label]))
        .collect();
    let file = temp.path().join("mixed.csv");
    std::fs::write(&file, mixed.join("\n")).unwrap();
    let worse = spec(temp.path(), |text| {
        with_hungarian(&text, &[not_worse_than(&champion)]).replace("atLeast: \"0.75\"", "atLeast: \"0\"")
    });
    let result = trained(&ledger, &worse, &[&sample_data(), &file]);
    assert_eq!(result.verdict, Verdict::GatesFailed, "{}", result.message);
    assert!(
        result.message.contains("on 294 new rows F1 0.1")
            && result.message.contains("the margin allows 0.03"),
        "{}",
        result.message
    );
    assert!(
        result
            .gates
            .last()
            .is_some_and(|gate| !gate.passed && gate.value < "-0.03".parse::<Decimal>().unwrap()),
        "{:?}",
        result.gates
    );

    let same = spec(temp.path(), |text| {
        text.replace(
            "      target:",
            &format!("      {}\n      target:", not_worse_than(&champion)),
        )
    });
    let result = trained(&ledger, &same, &[&sample_data()]);
    assert_eq!(result.verdict, Verdict::GatesFailed, "{}", result.message);
    assert!(
        result.gates[1].passed && !result.gates[2].passed,
        "{:?}",
        result.gates
    );
    assert_eq!(result.gates[1].value.as_str(), "0.000000");
    assert!(
        result
            .message
            .contains("0 new rows, and the two differ on 0 of them; at least 30 and 10 are needed"),
        "{}",
        result.message
    );
}

#[test]
fn the_same_training_again_with_a_learned_threshold_is_exactly_as_good_on_all_rows() {
    let ledger = Ledger::start();
    let temp = tempfile::tempdir().unwrap();
    let learned = |text: &str, line: &str| {
        let gates = format!("      threshold: {{maximise: F1}}\n{line}      gates:");
        text.replace("      gates:", &gates)
    };
    let first = spec(temp.path(), |text| learned(&text, ""));
    let champion = trained(&ledger, &first, &[&sample_data()]).digest.unwrap();
    let line = format!("      {}\n", not_worse_than(&champion));
    let again = spec(temp.path(), |text| learned(&text, &line));
    let result = trained(&ledger, &again, &[&sample_data()]);
    assert_eq!(result.gates[1].value.as_str(), "0.000000", "{:?}", result.gates);
    let metrics = std::fs::read(ledger.kept(&result.digest.unwrap()).join(file::METRICS)).unwrap();
    let metrics: serde_json::Value = serde_json::from_slice(&metrics).unwrap();
    let all = &metrics["notWorseThan"]["on"][0];
    assert_eq!(
        all["champion"], all["challenger"],
        "both are classified by the thresholds of their folds"
    );
    assert_eq!(all["count"], 303);
    assert_eq!(all["differing"], 0);
}

#[test]
fn a_snapshot_counts_the_rows_that_the_champion_was_not_trained_on() {
    let ledger = Ledger::start();
    let temp = tempfile::tempdir().unwrap();
    let champion = trained(&ledger, &spec(temp.path(), |text| text), &[&sample_data()])
        .digest
        .unwrap();
    let data = std::fs::read_to_string(sample_data()).unwrap();
    let rows = std::fs::read_to_string(hungarian()).unwrap();
    let five: Vec<&str> = rows.lines().take(5).collect();
    let export = temp.path().join("export.csv");
    std::fs::write(&export, format!("{}\n{}\n", data.trim_end(), five.join("\n"))).unwrap();
    let run = |bundle: &Digest, file: &Path, more: &[&str]| {
        let wanted = spec(temp.path(), |text| {
            with_hungarian(&text, &[not_worse_than(bundle)])
        });
        let data = sample_data();
        let mut arguments = vec!["snapshot", "--spec", text(&wanted)];
        arguments.extend(["--source", text(&data), "--source", text(file)]);
        arguments.extend(more);
        let (_, result) = ledger.run(&arguments);
        assert_eq!(result.verdict, Verdict::Succeeded, "{}", result.message);
        assert_eq!(ledger.recorded().new_rows, result.new_rows);
        result
    };
    let count = ["--count-new-rows"];
    let again = run(&champion, &export, &count);
    assert_eq!(again.rows, Some(611));
    let counted = again.new_rows.unwrap();
    assert_eq!((counted.rows, counted.repeated_rows), (5, 303));
    assert!(again.message.ends_with("; 5 rows are new"), "{}", again.message);
    let counted = run(&champion, &hungarian(), &count).new_rows.unwrap();
    assert_eq!(
        (counted.rows, counted.positive_rows, counted.repeated_rows),
        (294, 106, 0)
    );
    // The same rows with another name are a new file without new rows.
    let counted = run(&champion, &sample_data(), &count).new_rows.unwrap();
    assert_eq!((counted.rows, counted.repeated_rows), (0, 0));

    let plain = run(&champion, &export, &[]);
    assert_eq!((plain.new_rows, plain.digest), (None, again.digest));
    let elsewhere = run(&sha256(b"elsewhere"), &export, &count);
    assert_eq!((elsewhere.new_rows, elsewhere.digest), (None, again.digest));
    assert!(
        elsewhere
            .message
            .contains("new rows were not counted: the bundle sha256:"),
        "{}",
        elsewhere.message
    );
}

#[test]
fn data_of_other_features_than_the_champion_takes_is_refused_before_a_retraining_is_approved() {
    let ledger = Ledger::start();
    let temp = tempfile::tempdir().unwrap();
    let champion = trained(&ledger, &spec(temp.path(), |text| text), &[&sample_data()])
        .digest
        .unwrap();
    let fewer = spec(temp.path(), |yaml| {
        let yaml = with_hungarian(&yaml, &[not_worse_than(&champion)]);
        yaml.replace("      features:\n", "      exclude: [chol]\n      features:\n")
    });
    let (data, more) = (sample_data(), hungarian());
    let mut arguments = vec![
        "snapshot",
        "--spec",
        text(&fewer),
        "--source",
        text(&data),
        "--source",
        text(&more),
    ];
    arguments.push("--count-new-rows");
    let (_, result) = ledger.run(&arguments);
    assert_eq!(result.verdict, Verdict::DataInvalid, "{}", result.message);
    let [violation] = result.violations.as_slice() else {
        unreachable!("{:?}", result.violations)
    };
    assert_eq!(
        (violation.column.as_str(), violation.rule.as_str()),
        ("chol", "Features")
    );
    assert!(
        violation
            .message
            .starts_with("heart-1 takes this feature, and the data does not have it")
    );
}

#[test]
fn once_half_of_hungary_was_accepted_the_other_half_is_quiet_and_cleveland_alone_calls_it_drift() {
    let text = std::fs::read_to_string(samples().join("heart-1.yaml")).unwrap();
    let alone = spec::parse(&text).unwrap().training;
    let cleveland = frozen(&alone, &[sample_data()]);
    let first = fitted(&cleveland.data, &alone);
    let of_champion = reference::reference(&cleveland.data, &first.candidates[0], &[]).unwrap();

    let both = spec::parse(&with_hungarian(&text, &[])).unwrap().training;
    let union = frozen(&both, &[sample_data(), hungarian()]).data;
    let second = fitted(&union, &both);
    for seed in [7, 1, 2, 3, 4, 5] {
        let rows = shuffled((303..597).collect(), seed);
        let (accepted, next) = rows.split_at(147);
        let mut counts = counted(&of_champion.bins, &union, accepted, |row| {
            first.fitted.scorer().score(row)
        });
        counts.refused = 9;
        let bytes = serde_json::to_vec(&Reference {
            bins: of_champion.bins.clone(),
            counts,
            chosen_by: ChosenBy::None,
            phases: None,
        })
        .unwrap();
        let named = AcceptedWindow {
            counts: sha256(&bytes),
            rows: 147,
            start_time: serde_json::from_str("\"2026-11-23T10:00:00Z\"").unwrap(),
            end_time: serde_json::from_str("\"2026-11-23T11:00:00Z\"").unwrap(),
        };
        let window = Window::read(&bytes, &named, &union.schema).unwrap();
        let new_rows: Vec<usize> = (303..597).collect();
        let reference = window
            .with_scores(union.len(), &new_rows, &second.candidates[0])
            .unwrap();
        reference.check().unwrap();
        assert_eq!(reference.counts.refused, 0, "refused rows are never accepted");

        let later = counted(&reference.bins, &union, next, |row| {
            second.fitted.scorer().score(row)
        });
        let judged = self::judged(&reference, &later);
        let values = drifted(&judged, DriftAspect::Values);
        let missing = drifted(&judged, DriftAspect::MissingRate);
        assert_eq!(
            judged.verdict,
            DriftVerdict::NoDrift,
            "seed {seed}: {values:?}, {missing:?}, score {:?}",
            judged.score
        );

        let later = counted(&of_champion.bins, &union, next, |row| {
            first.fitted.scorer().score(row)
        });
        let judged = self::judged(&of_champion, &later);
        let values = drifted(&judged, DriftAspect::Values);
        let missing = drifted(&judged, DriftAspect::MissingRate);
        println!("seed {seed}: from Cleveland {values:?}, missing {missing:?}");
        for name in ["age", "restecg", "oldpeak"] {
            assert!(values.contains(&name), "seed {seed}: {name} is not in {values:?}");
        }
        for name in ["slope", "ca", "thal"] {
            assert!(
                missing.contains(&name),
                "seed {seed}: {name} is not in {missing:?}"
            );
        }
        for name in ["sex", "exang", "chol"] {
            assert!(!values.contains(&name), "seed {seed}: {name} is in {values:?}");
        }
    }
}

#[test]
fn the_champion_s_own_rows_are_found_again_among_the_others() {
    let text = std::fs::read_to_string(samples().join("heart-1.yaml")).unwrap();
    let ledger = Ledger::start();
    let temp = tempfile::tempdir().unwrap();
    let result = trained(&ledger, &spec(temp.path(), |text| text), &[&sample_data()]);
    let champion = result.digest.unwrap();
    let both = spec::parse(&with_hungarian(&text, &[not_worse_than(&champion)]))
        .unwrap()
        .training;
    let union = frozen(&both, &[sample_data(), hungarian()]);
    let dir = ledger.kept(&champion);
    let open = |snapshot: &Snapshot| {
        Opponent::open(
            &dir,
            both.not_worse_than.as_ref().unwrap(),
            &snapshot.info.target,
            &snapshot.data,
            snapshot.info.sources.iter().map(|source| source.rows as usize),
        )
    };
    let opponent = open(&union).unwrap();
    assert_eq!(opponent.new_rows(), (303..597).collect::<Vec<_>>());
    // A file that has the old rows again has as many new ones as it has others.
    let twelve: Vec<String> = std::fs::read_to_string(hungarian())
        .unwrap()
        .lines()
        .take(12)
        .map(|line| format!("{line}\n"))
        .collect();
    let repeated = temp.path().join("repeated.csv");
    let old = std::fs::read_to_string(sample_data()).unwrap();
    std::fs::write(&repeated, old + &twelve.concat()).unwrap();
    let again = open(&frozen(&both, &[sample_data(), repeated])).unwrap();
    assert_eq!(again.new_rows(), (606..618).collect::<Vec<_>>());

    let mut narrow = both.clone();
    narrow.exclude = vec!["thal".to_owned()];
    let error = open(&frozen(&narrow, &[sample_data(), hungarian()])).unwrap_err();
    assert!(error.to_string().contains("\"thal\""), "{error}");
    let mut other = union.clone();
    other.info.target.positive_when = "num > 1".to_owned();
    let error = open(&other).unwrap_err();
    assert!(error.to_string().contains("num > 1"), "{error}");
}
