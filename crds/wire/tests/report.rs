//! What a former release kept and sent is read.

use modelward_wire::{DriftAspect, DriftVerdict, REPORT_FORMAT, ReportResult};

const FORMER: &str = include_str!("report-1.json");

#[test]
fn a_report_of_a_former_release_is_read_whole_and_names_no_test() {
    let read: ReportResult = serde_json::from_str(FORMER).unwrap();
    assert_eq!(
        (read.format, read.verdict, read.rows),
        (REPORT_FORMAT, DriftVerdict::Drift, 294)
    );
    let drifted: Vec<_> = read
        .drifted
        .iter()
        .map(|row| (row.feature.as_str(), row.aspect))
        .collect();
    assert_eq!(
        drifted,
        [
            ("ca", DriftAspect::MissingRate),
            ("thal", DriftAspect::MissingRate),
            ("slope", DriftAspect::MissingRate),
            ("restecg", DriftAspect::Values),
            ("oldpeak", DriftAspect::Values),
            ("slope", DriftAspect::Values),
            ("age", DriftAspect::Values),
            ("thalach", DriftAspect::Values),
        ]
    );
    assert!(read.drifted.iter().all(|row| row.test.is_none()));

    // Answered again, it says the same in the present form: with the aspect, and the one window that was compared.
    let mut parts = FORMER.split(r#""qValue":""#);
    let first = parts.next().unwrap().to_owned();
    let former = parts
        .map(|part| part.trim_start_matches('"').split_once('"').unwrap().1)
        .fold(first, |text, rest| text + r#""windows":1"# + rest)
        .replace('\n', "")
        .replace(r#""values":true"#, r#""aspect":"Values""#)
        .replace(r#""values":false"#, r#""aspect":"MissingRate""#);
    assert_eq!(serde_json::to_string(&read).unwrap(), former);
}
