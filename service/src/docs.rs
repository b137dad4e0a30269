//! Tables of metrics in the documentation, generated from the declarations.

use std::{env, fmt::Write as _, fs, path::Path};

use crate::metrics::{Kind, MetricDoc};

/// The end of a generated section of a page.
const END: &str = "<!-- end -->";

/// The table of these metrics in Markdown.
pub fn table(metrics: &[MetricDoc]) -> String {
    let mut text = "| metric | labels | what |\n|---|---|---|\n".to_owned();
    for metric in metrics {
        let labels: Vec<String> = metric
            .labels
            .iter()
            .map(|label| write_label(metric, label))
            .collect();
        let histogram = match metric.kind {
            Kind::Histogram => "; a histogram",
            _ => "",
        };
        // Writing to a `String` cannot fail.
        let _ = writeln!(
            text,
            "| `{}` |{} | {}{histogram} |",
            metric.full_name(),
            labels.join(","),
            metric.help
        );
    }
    text
}

fn write_label(metric: &MetricDoc, label: &str) -> String {
    match metric.values.iter().find(|(name, _)| *name == label) {
        None => format!(" `{label}`"),
        Some((_, values)) => format!(" `{label}` (`{}`)", values.join("`, `")),
    }
}

/// Checks that a page has the table of these metrics between `<!-- metrics: PREFIX -->` and `<!-- end -->`. If the environment
/// variable `MODELWARD_GENERATE` is set, writes the table. The error says what is wrong.
pub fn check(page: &Path, prefix: &str, metrics: &[MetricDoc]) -> Result<(), String> {
    let cannot = |error: std::io::Error| format!("{}: {error}", page.display());
    let text = fs::read_to_string(page).map_err(cannot)?;
    let fresh =
        with_table(&text, prefix, metrics).map_err(|problem| format!("{}: {problem}", page.display()))?;
    if fresh == text {
        return Ok(());
    }
    if env::var_os("MODELWARD_GENERATE").is_some() {
        return fs::write(page, fresh).map_err(cannot);
    }
    Err(format!(
        "the table of {prefix} in {} is not that of the code: run `make generate`",
        page.display()
    ))
}

/// The page with the current table.
fn with_table(page: &str, prefix: &str, metrics: &[MetricDoc]) -> Result<String, String> {
    let begin = format!("<!-- metrics: {prefix} -->\n");
    let (before, rest) = page
        .split_once(&begin)
        .ok_or_else(|| format!("has no line {}", begin.trim_end()))?;
    let (_, after) = rest
        .split_once(END)
        .ok_or_else(|| format!("has no {END} after {}", begin.trim_end()))?;
    Ok(format!("{before}{begin}\n{}\n{END}{after}", table(metrics)))
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::metrics! {
        /// Of this test.
        struct Metrics in "kitchen", build "What cooks" {
            _dishes: Counter<DishLabels> {dish: ["soup", "rice"]} zero = "dishes", "Dishes served";
            _wait: Histogram[[1.0, 10.0]] = "wait" seconds, "Time to a dish";
            _weight: Counter<TypeLabels> = "weight" bytes, "What was eaten";
            _guests: FloatGauge = whole "guests", "Guests of all kitchens";
        }
        labels DishLabels {
            dish: &'static str,
        }
        labels TypeLabels {
            r#type: &'static str,
            guest: String,
        }
    }

    const TABLE: &str = "\
| metric | labels | what |
|---|---|---|
| `kitchen_build_info` | `version` | What cooks |
| `kitchen_start_time_seconds` | | When the process started, since 1970 |
| `kitchen_dishes_total` | `dish` (`soup`, `rice`) | Dishes served |
| `kitchen_wait_seconds` | | Time to a dish; a histogram |
| `kitchen_weight_bytes_total` | `type`, `guest` | What was eaten |
| `guests` | | Guests of all kitchens |
";

    #[test]
    fn the_table_has_the_names_that_are_scraped() {
        assert_eq!(table(Metrics::TABLE), TABLE);
        let metrics = Metrics::new();
        let guest = "a".to_owned();
        metrics
            ._weight
            .get_or_create(&TypeLabels { r#type: "x", guest })
            .inc();
        let text = metrics.encode().unwrap();
        for line in [
            r#"kitchen_build_info{version="0.1.0"} 1"#,
            r#"kitchen_dishes_total{dish="rice"} 0"#,
            "kitchen_wait_seconds_count 0",
            r#"kitchen_weight_bytes_total{type="x",guest="a"} 1"#,
            "guests 0.0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(text.contains("# HELP kitchen_wait_seconds Time to a dish.\n# TYPE kitchen_wait_seconds histogram\n# UNIT kitchen_wait_seconds seconds\n"), "{text}");
    }

    #[test]
    fn a_page_with_another_table_is_refused_and_one_without_a_place_too() {
        let dir = tempfile::tempdir().unwrap();
        let page = dir.path().join("page.md");
        fs::write(&page, "a\n<!-- metrics: kitchen -->\nold\n<!-- end -->\nb\n").unwrap();
        assert!(
            check(&page, "kitchen", Metrics::TABLE)
                .unwrap_err()
                .contains("make generate")
        );
        assert!(
            check(&page, "cellar", Metrics::TABLE)
                .unwrap_err()
                .contains("has no line")
        );
        let fresh = with_table(&fs::read_to_string(&page).unwrap(), "kitchen", Metrics::TABLE).unwrap();
        assert_eq!(
            fresh,
            format!("a\n<!-- metrics: kitchen -->\n\n{TABLE}\n<!-- end -->\nb\n")
        );
        fs::write(&page, fresh).unwrap();
        assert_eq!(check(&page, "kitchen", Metrics::TABLE), Ok(()));
    }
}
