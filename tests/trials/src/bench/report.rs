//! The report of a run: as JSON, as a table, and compared with an earlier run.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};

/// The format of the JSON.
const FORMAT: u32 = 1;

/// The numbers of objects and changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// Namespaces.
    pub namespaces: usize,
    /// Models of four versions.
    pub models: usize,
    /// Their versions.
    pub versions: usize,
    /// Versions of one more model.
    pub wide: usize,
    /// Actions that have ended.
    pub actions: usize,
    /// Reports with a verdict.
    pub reports: usize,
    /// ConfigMaps of other owners.
    pub maps: usize,
    /// Seconds for which the idle operator is observed.
    pub rest_seconds: u64,
    /// Maximum number of objects of each kind that are touched.
    pub touched: usize,
    /// Changes of one ConfigMap of another owner.
    pub changes: usize,
}

/// One phase of the run, as measured in the operator's process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// Seconds from its start to the last change or request, whichever is later. At rest, its whole duration.
    pub seconds: f64,
    /// Seconds of processor time, in user and kernel mode.
    pub cpu_seconds: f64,
    /// Resident memory at its end, in MiB.
    pub rss_mib: f64,
    /// The part of it that is not mapped from files, in MiB: heap and stacks.
    pub anonymous_mib: f64,
    /// Peak resident memory since the start of the process, in MiB.
    pub peak_mib: f64,
    /// Maximum number of watches that were open at the same time.
    pub watches: usize,
    /// Size of all responses that were read, in MiB.
    pub read_mib: f64,
    /// Objects that were changed in it, one change each.
    pub changed: usize,
    /// Reads by verb and resource.
    pub reads: BTreeMap<String, u64>,
    /// Writes by verb, resource and status, including rejected ones.
    pub writes: BTreeMap<String, u64>,
    /// Names of the first objects that were written.
    pub written: Vec<String>,
    /// Dry runs and reviews by verb and resource: they change nothing.
    pub trials: BTreeMap<String, u64>,
    /// Reconciles by controller.
    pub reconciles: BTreeMap<String, u64>,
    /// Reconciles that failed.
    pub failed: u64,
}

/// The whole run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The format of this report.
    pub format: u32,
    /// `debug` or `release`, whose figures are not comparable.
    pub profile: String,
    /// The numbers of objects and changes.
    pub sizes: Sizes,
    /// The phases, in order.
    pub phases: Vec<Phase>,
}

/// A figure of the table.
struct Figure {
    phase: String,
    name: String,
    value: f64,
}

// === impl Phase ===

impl Phase {
    fn figures(&self) -> Vec<Figure> {
        let sum = |counts: &BTreeMap<String, u64>| counts.values().sum::<u64>() as f64;
        let (reads, writes) = (sum(&self.reads), sum(&self.writes));
        let reconciles = sum(&self.reconciles);
        let mut figures = vec![
            ("seconds".to_owned(), self.seconds),
            ("CPU seconds".to_owned(), self.cpu_seconds),
            ("memory, MiB".to_owned(), self.rss_mib),
            ("heap and stacks, MiB".to_owned(), self.anonymous_mib),
            ("peak memory, MiB".to_owned(), self.peak_mib),
            ("open watches".to_owned(), self.watches as f64),
            ("answers, MiB".to_owned(), self.read_mib),
            ("writes".to_owned(), writes),
            ("reads".to_owned(), reads),
            ("reconciles".to_owned(), reconciles),
        ];
        if self.changed > 0 {
            let changed = self.changed as f64;
            figures.extend([
                ("changes".to_owned(), changed),
                ("reconciles a change".to_owned(), reconciles / changed),
                ("reads a change".to_owned(), reads / changed),
                (
                    "CPU milliseconds a change".to_owned(),
                    1000.0 * self.cpu_seconds / changed,
                ),
            ]);
        }
        if self.failed > 0 {
            figures.push(("failed reconciles".to_owned(), self.failed as f64));
        }
        let parts = [
            ("reconcile", &self.reconciles),
            ("read", &self.reads),
            ("write", &self.writes),
            ("trial", &self.trials),
        ];
        for (part, counts) in parts {
            figures.extend(
                counts
                    .iter()
                    .map(|(what, count)| (format!("  {part} {what}"), *count as f64)),
            );
        }
        figures
            .into_iter()
            .map(|(name, value)| Figure {
                phase: self.name.clone(),
                name,
                value,
            })
            .collect()
    }
}

// === impl Report ===

impl Report {
    /// A report of a run that has not started.
    pub fn new(sizes: Sizes) -> Self {
        let profile = if cfg!(debug_assertions) {
            "debug"
        } else {
            "release"
        };
        Self {
            format: FORMAT,
            profile: profile.to_owned(),
            sizes,
            phases: Vec::new(),
        }
    }

    /// Reads the report of an earlier run.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read(path).with_context(|| {
            format!(
                "cannot read {}: BASE names the JSON that an earlier run wrote",
                path.display()
            )
        })?;
        let report: Self = serde_json::from_slice(&text)
            .with_context(|| format!("{} is no report of this benchmark", path.display()))?;
        ensure!(
            report.format == FORMAT,
            "{} has format {}, and this benchmark writes {FORMAT}: run the earlier code again",
            path.display(),
            report.format
        );
        Ok(report)
    }

    /// Writes the report as JSON.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Rejects a comparison of runs that differ in more than the code.
    pub fn comparable(&self, base: &Self) -> Result<()> {
        ensure!(
            self.profile == base.profile,
            "this is a {} build and BASE was measured with a {} build: build both alike (BENCH_PROFILE)",
            self.profile,
            base.profile
        );
        let (ours, theirs) = (
            serde_json::to_value(&self.sizes)?,
            serde_json::to_value(&base.sizes)?,
        );
        let differing: Vec<String> = (ours.as_object().into_iter().flatten())
            .filter(|(name, size)| theirs[name.as_str()] != **size)
            .map(|(name, size)| format!("{name} {size} against {}", theirs[name.as_str()]))
            .collect();
        ensure!(
            differing.is_empty(),
            "BASE was measured with other sizes ({}): set the same BENCH_ variables",
            differing.join(", ")
        );
        Ok(())
    }

    /// The phases in which the operator wrote although it had no work, as text.
    pub fn needless_writes(&self, idle: &[&str]) -> Result<()> {
        let wrote: Vec<String> = (self.phases.iter())
            .filter(|phase| idle.contains(&phase.name.as_str()) && !phase.writes.is_empty())
            .map(|phase| {
                let what: Vec<String> = (phase.writes.iter())
                    .map(|(what, count)| format!("{count} × {what}"))
                    .collect();
                let first = phase.written.join(", ");
                format!("{}: {} (first {first})", phase.name, what.join(", "))
            })
            .collect();
        if wrote.is_empty() {
            return Ok(());
        }
        bail!(
            "the operator wrote though nothing was to be done: {}",
            wrote.join("; ")
        )
    }

    fn figures(&self) -> Vec<Figure> {
        self.phases.iter().flat_map(Phase::figures).collect()
    }

    /// The figures, one per line. With an earlier run: before, after and the change in per cent.
    pub fn table(&self, base: Option<&Self>) -> String {
        let sizes = &self.sizes;
        let mut lines = vec![format!(
            "{} Models with {} ModelVersions, one more with {}, {} RemediationActions, {} DriftReports and {} ConfigMaps of \
             others in {} namespaces; {} build",
            sizes.models,
            sizes.versions,
            sizes.wide,
            sizes.actions,
            sizes.reports,
            sizes.maps,
            sizes.namespaces,
            self.profile
        )];
        let before: BTreeMap<(String, String), f64> = base
            .iter()
            .flat_map(|base| base.figures())
            .map(|figure| ((figure.phase, figure.name), figure.value))
            .collect();
        let now = self.figures();
        // Figures that are no longer counted also get a line.
        let gone = base.iter().flat_map(|base| base.figures()).filter(|old| {
            !(now.iter()).any(|figure| (&figure.phase, &figure.name) == (&old.phase, &old.name))
        });
        let gone: Vec<Figure> = gone.map(|old| Figure { value: 0.0, ..old }).collect();
        for phase in &self.phases {
            let of = |figure: &&Figure| figure.phase == phase.name;
            let heading = &phase.name;
            lines.push(String::new());
            lines.push(match base {
                Some(_) => format!("{heading:<46}{:>12}{:>12}{:>9}", "before", "after", "change"),
                None => heading.clone(),
            });
            for figure in now.iter().filter(of).chain(gone.iter().filter(of)) {
                let (name, value) = (&figure.name, figure.value);
                let old = before.get(&(figure.phase.clone(), figure.name.clone()));
                let old = old.copied().unwrap_or_default();
                lines.push(if base.is_some() {
                    let (before, after, change) = (number(old), number(value), change(old, value));
                    format!("  {name:<44}{before:>12}{after:>12}{change:>9}")
                } else {
                    format!("  {name:<44}{:>12}", number(value))
                });
            }
        }
        lines.join("\n")
    }
}

fn number(value: f64) -> String {
    if value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

fn change(before: f64, after: f64) -> String {
    if before == after {
        "=".to_owned()
    } else if before == 0.0 {
        "new".to_owned()
    } else {
        format!("{:+.0} %", 100.0 * (after - before) / before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes() -> Sizes {
        Sizes {
            namespaces: 10,
            models: 10,
            versions: 40,
            wide: 4,
            actions: 192,
            reports: 240,
            maps: 80,
            rest_seconds: 60,
            touched: 250,
            changes: 1000,
        }
    }

    fn report(reads: &[(&str, u64)], writes: &[(&str, u64)]) -> Report {
        let counts = |counts: &[(&str, u64)]| -> BTreeMap<String, u64> {
            (counts.iter())
                .map(|(name, count)| ((*name).to_owned(), *count))
                .collect()
        };
        let mut report = Report::new(sizes());
        report.phases.push(Phase {
            name: "restart".to_owned(),
            seconds: 3.25,
            changed: 10,
            reads: counts(reads),
            writes: counts(writes),
            written: vec!["patch models/status heart".to_owned()],
            ..Phase::default()
        });
        report
    }

    fn line<'a>(table: &'a str, name: &str) -> Vec<&'a str> {
        let line = table.lines().find(|line| line.trim_start().starts_with(name));
        line.unwrap_or_else(|| panic!("no line {name:?} in {table}"))
            .trim_start()
            .strip_prefix(name)
            .unwrap()
            .split_whitespace()
            .collect()
    }

    #[test]
    fn a_run_alone_has_one_column_and_figures_a_change() {
        let table = report(&[("get models", 30), ("list pods", 10)], &[]).table(None);
        assert_eq!(line(&table, "reads a change"), ["4"]);
        assert_eq!(line(&table, "read get models"), ["30"]);
        assert_eq!(line(&table, "seconds"), ["3.25"]);
    }

    #[test]
    fn a_run_beside_an_earlier_one_shows_both_and_what_is_counted_no_more() {
        let before = report(&[("get models", 40), ("list pods", 10)], &[]);
        let after = report(&[("get models", 10), ("get pods", 5)], &[]);
        let table = after.table(Some(&before));
        assert_eq!(line(&table, "read get models"), ["40", "10", "-75", "%"]);
        assert_eq!(line(&table, "read list pods"), ["10", "0", "-100", "%"]);
        assert_eq!(line(&table, "read get pods"), ["0", "5", "new"]);
        assert_eq!(line(&table, "writes"), ["0", "0", "="]);
    }

    #[test]
    fn runs_of_other_sizes_or_builds_are_not_compared_and_the_difference_is_named() {
        let (ours, mut base) = (report(&[], &[]), report(&[], &[]));
        ours.comparable(&base).unwrap();
        base.sizes.reports = 6000;
        let error = ours.comparable(&base).unwrap_err().to_string();
        assert!(error.contains("reports 240 against 6000"), "{error}");
        base.profile = "other".to_owned();
        let error = ours.comparable(&base).unwrap_err().to_string();
        assert!(error.contains("BENCH_PROFILE"), "{error}");
    }

    #[test]
    fn a_write_without_a_reason_is_named_with_its_phase() {
        let quiet = report(&[("get models", 1)], &[]);
        quiet.needless_writes(&["restart"]).unwrap();
        let wrote = report(&[], &[("patch models/status 200", 2)]);
        wrote.needless_writes(&["at rest"]).unwrap();
        let error = wrote.needless_writes(&["restart"]).unwrap_err().to_string();
        assert_eq!(
            error,
            "the operator wrote though nothing was to be done: restart: 2 × patch models/status 200 (first patch \
             models/status heart)"
        );
    }

    #[test]
    fn a_report_is_read_as_it_was_written_and_another_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("report.json");
        let written = report(&[("get models", 1)], &[]);
        written.write(&path).unwrap();
        assert_eq!(Report::read(&path).unwrap(), written);
        std::fs::write(&path, "{}").unwrap();
        let error = Report::read(&path).unwrap_err().to_string();
        assert!(error.contains("is no report of this benchmark"), "{error}");
        let error = Report::read(Path::new("/nowhere")).unwrap_err().to_string();
        assert!(error.contains("BASE names the JSON"), "{error}");
    }
}
