//! Expectations as the commands have them: suggested from a reference, read as YAML, evaluated on other rows, frozen in a snapshot.
#![expect(clippy::unwrap_used, reason = "what a test needs and cannot have ends it")]

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Numbers that are the same everywhere (SplitMix64).
struct Draws(u64);

impl Draws {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    DecimalShift,
    SwappedColumns,
    NewCategory,
    Nulls,
    RepeatedIds,
    OtherDates,
}

/// Patients: an identifier, two measurements, one with a heavy tail, a code, a word, a date, and the class.
fn patients(seed: u64, rows: usize, fault: Fault) -> String {
    let mut draws = Draws(seed);
    let mut text = "id,age,pressure,charge,code,ward,day,y\n".to_owned();
    for row in 0..rows {
        let mut age = (55.0 + 9.0 * draws.normal()).round().clamp(18.0, 99.0);
        let mut pressure = 130.0 + 17.0 * draws.normal();
        let charge = (4.3 + 1.4 * draws.normal()).exp2();
        let code = (draws.uniform() * 4.0) as u32;
        let mut ward = ["north", "south", "east"][(draws.uniform() * 3.0) as usize];
        let missing = draws.uniform();
        let day = (draws.uniform() * 28.0) as u32 + 1;
        let planted = draws.uniform() < 0.1;
        let mut id = row + 1;
        match fault {
            Fault::DecimalShift => pressure *= 10.0,
            Fault::SwappedColumns => (age, pressure) = (pressure.round(), age),
            Fault::NewCategory if planted => ward = "west",
            Fault::RepeatedIds => id = row / 2,
            _ => {}
        }
        let pressure = match fault {
            Fault::Nulls if planted => String::new(),
            _ if missing < 0.02 => String::new(),
            _ => format!("{pressure:.1}"),
        };
        let date = match fault {
            Fault::OtherDates => format!("{day:02}.03.2024"),
            _ => format!("2024-03-{day:02}"),
        };
        let class = u8::from(draws.uniform() < 0.4);
        let _ = writeln!(
            text,
            "{id},{age},{pressure},{charge:.2},{code},{ward},{date},{class}"
        );
    }
    text
}

fn spec(expectations: &str) -> String {
    let indented = expectations.replace('\n', "\n      ");
    format!(
        "apiVersion: modelward.io/v1alpha1\nkind: ModelVersion\nmetadata: {{name: p-1}}\nspec:\n  model: p\n  source:\n    training:\n      \
         dataset: {{configMap: {{name: p, key: p.csv}}}}\n      target: {{column: y}}\n      exclude: [id, day]\n      \
         validation: {{folds: 2, repeats: 1}}\n      {indented}\n  serving: {{access: Open}}\n"
    )
}

fn run(arguments: &[&str]) -> (i32, String) {
    let ran = Command::new(env!("CARGO_BIN_EXE_modelward-trainer"))
        .args(arguments)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    (ran.status.code().unwrap(), text)
}

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn validate(&self, spec: &str, rows: &str) -> (i32, String) {
        let rows = self.write("rows.csv", rows);
        run(&["validate", "--spec", spec, "--source", &rows])
    }
}

#[test]
fn suggestions_hold_for_fresh_rows_and_find_planted_faults() {
    let files = Files::new();
    let bare = files.write("bare.yaml", &spec("families: [LogisticRegression]"));
    let reference = files.write("reference.csv", &patients(1, 400, Fault::None));
    let (code, yaml) = run(&["suggest", "--spec", &bare, "--source", &reference]);
    assert_eq!(code, 0, "{yaml}");
    assert!(yaml.starts_with("expectations:\n"), "{yaml}");
    for words in [
        "ExpectColumnValuesToBeUnique, column: \"id\"",
        "ExpectColumnValuesToMatchStrftimeFormat, column: \"day\"",
        "ExpectColumnValuesToBeInSet, column: \"ward\"",
        "ExpectColumnValuesToBeBetween, column: \"charge\"",
    ] {
        assert!(yaml.contains(words), "{words}\n{yaml}");
    }
    assert!(
        !yaml.contains("ToBeUnique, column: \"charge\""),
        "a measurement: {yaml}"
    );

    let suggested = files.write("suggested.yaml", &spec(&yaml));
    let (code, text) = files.validate(&suggested, &patients(1, 400, Fault::None));
    assert!(code == 0 && !text.contains("warning: "), "the reference: {text}");

    let draws = 100..140;
    let (mut critical, mut warned) = (0, 0);
    for seed in draws.clone() {
        let rows = [80, 400, 1500][seed as usize % 3];
        let (code, text) = files.validate(&suggested, &patients(seed, rows, Fault::None));
        critical += usize::from(code != 0);
        warned += usize::from(text.contains("warning: "));
    }
    assert!(
        critical <= 2,
        "{critical} of {} fresh files are refused",
        draws.count()
    );
    assert!(warned <= 4, "{warned} fresh files are warned of");

    for (fault, column) in [
        (Fault::DecimalShift, "pressure"),
        (Fault::SwappedColumns, "pressure"),
        (Fault::NewCategory, "ward"),
        (Fault::Nulls, "pressure"),
        (Fault::RepeatedIds, "id"),
        (Fault::OtherDates, "day"),
    ] {
        for seed in 200..205 {
            let (code, text) = files.validate(&suggested, &patients(seed, 400, fault));
            assert!(
                code == 2 && text.contains(&format!("{column}: ")),
                "{column}: {text}"
            );
        }
    }
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_snapshot_has_the_results_where_the_spec_has_expectations_and_a_critical_one_refuses_it() {
    let files = Files::new();
    let rows = files.write("rows.csv", &patients(1, 60, Fault::None));
    let take = |expectations: &str, name: &str| {
        let spec = files.write("spec.yaml", &spec(expectations));
        let out = files.path(name);
        let (code, text) = run(&[
            "snapshot",
            "--spec",
            &spec,
            "--source",
            &rows,
            "--out",
            &out.display().to_string(),
        ]);
        (code, text, out)
    };
    let (code, _, plain) = take("families: [LogisticRegression]", "plain");
    assert_eq!(code, 0);
    assert_eq!(names(&plain), ["data.parquet", "manifest.json", "snapshot.json"]);

    let met = "expectations:\n  - {type: ExpectColumnValuesToBeBetween, column: age, minValue: '0', maxValue: '120'}\n  \
               - {type: ExpectTableRowCountToEqual, value: 61, severity: Warning}";
    let (code, text, out) = take(met, "met");
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("ExpectTableRowCountToEqual: 60 rows; expected value 61"),
        "{text}"
    );
    assert_eq!(
        names(&out),
        [
            "data.parquet",
            "manifest.json",
            "snapshot.json",
            "validation.html",
            "validation.json"
        ]
    );
    let result: serde_json::Value =
        serde_json::from_slice(&fs::read(out.join("validation.json")).unwrap()).unwrap();
    assert_eq!(result["statistics"]["unsuccessful_expectations"], 1);
    assert_eq!(
        fs::read(plain.join("data.parquet")).unwrap(),
        fs::read(out.join("data.parquet")).unwrap()
    );

    let (code, text, out) = take(
        "expectations:\n  - {type: ExpectTableRowCountToEqual, value: 61}",
        "unmet",
    );
    assert_eq!(code, 2);
    assert!(
        text.contains("ExpectTableRowCountToEqual: 60 rows; expected value 61"),
        "{text}"
    );
    assert!(!out.exists());
}

#[test]
fn a_fit_reads_a_snapshot_that_has_results() {
    let files = Files::new();
    let rows = files.write("rows.csv", &patients(1, 200, Fault::None));
    let spec = files.write(
        "spec.yaml",
        &spec("expectations: [{type: ExpectColumnToExist, column: age}]"),
    );
    let (snapshot, bundle) = (files.path("snapshot"), files.path("bundle"));
    let (snapshot, bundle) = (snapshot.display().to_string(), bundle.display().to_string());
    assert_eq!(
        run(&["snapshot", "--spec", &spec, "--source", &rows, "--out", &snapshot]).0,
        0
    );
    let (code, text) = run(&[
        "fit",
        "--spec",
        &spec,
        "--snapshot-dir",
        &snapshot,
        "--out",
        &bundle,
    ]);
    assert_eq!(code, 0, "{text}");
}

#[test]
fn a_spec_that_asks_for_what_its_snapshot_was_taken_without_is_refused() {
    let files = Files::new();
    let rows = files.write("rows.csv", &patients(1, 400, Fault::None));
    let taken = spec(
        "features:\n  - {name: age, kind: Numeric, range: {min: '18', max: '99'}}\n  \
         - {name: pressure, kind: Numeric, maxMissingRatio: '0.5'}\n  \
         - {name: code, kind: Categorical, categories: ['0', '1', '2', '3']}\n\
         expectations:\n  - {type: ExpectColumnToExist, column: age}\n  \
         - {type: ExpectTableRowCountToEqual, value: 61, severity: Warning}\n\
         families: [LogisticRegression]",
    );
    let snapshot = files.path("snapshot").display().to_string();
    let of_taken = files.write("taken.yaml", &taken);
    let arguments = [
        "snapshot", "--spec", &of_taken, "--source", &rows, "--out", &snapshot,
    ];
    let (code, text) = run(&arguments);
    assert_eq!(code, 0, "{text}");
    let fit = |name: &str, text: &str| {
        let spec = files.write("other.yaml", text);
        let bundle = files.path(name).display().to_string();
        run(&[
            "fit",
            "--spec",
            &spec,
            "--snapshot-dir",
            &snapshot,
            "--out",
            &bundle,
        ])
    };
    for (from, to, words) in [
        (
            "[id, day]",
            "[id, day, charge]",
            "which the spec excludes; take a new snapshot",
        ),
        (
            "range: {min",
            "required: true, range: {min",
            "required, in the snapshot it is optional",
        ),
        ("max: '99'", "max: '120'", "the spec declares another range"),
        ("'3']", "'3', '4']", "the spec declares other categories"),
        ("'0.5'", "'0.001'", "the spec allows a share of 0.001"),
        (
            ", severity: Warning",
            "",
            "does not meet the critical expectation ExpectTableRowCountToEqual",
        ),
        (
            "column: age}",
            "column: ward}",
            "without the expectation ExpectColumnToExist (ward)",
        ),
    ] {
        let (code, text) = fit("bundle", &taken.replace(from, to));
        assert!(code == 2 && text.contains(words), "{to}: {text}");
        assert!(!files.path("bundle").exists());
    }
    // The same, a spec that asks for less, and one that expects less strictly.
    for (name, text) in [
        ("same", taken.clone()),
        ("less", spec("families: [LogisticRegression]")),
        (
            "warning",
            taken.replace("column: age}", "column: age, severity: Warning}"),
        ),
    ] {
        let (code, text) = fit(name, &text);
        assert_eq!(code, 0, "{name}: {text}");
    }
}
