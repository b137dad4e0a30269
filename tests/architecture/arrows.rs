//! Which crate may depend on which: the arrows of the architecture, walked with cargo.
//!
//! A dependency decides what a crate can do. The crates that decide and score can do no IO because nothing that does
//! IO is below them; the programs that read data cannot reach the API server because no client of it is linked.
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

/// Every crate that is below a crate, itself included, by name.
type Closure = BTreeSet<String>;

/// What one crate may lean on.
struct Rule {
    name: &'static str,
    /// Crates of the workspace that it may depend on directly.
    ours: &'static [&'static str],
    /// Crates that must not be anywhere below it.
    never: &'static [&'static [&'static str]],
    /// Where set, the only foreign crates that it may depend on directly.
    only: Option<&'static [&'static str]>,
}

/// Clients and servers of any kind.
const IO: &[&str] = &[
    "tokio",
    "kube-client",
    "kube-runtime",
    "axum",
    "hyper",
    "hyper-util",
    "sqlx",
    "sqlx-core",
    "reqwest",
    "object_store",
    "tower-http",
];
const KUBERNETES_CLIENT: &[&str] = &["kube-client", "kube-runtime"];
const DATABASE: &[&str] = &["sqlx", "sqlx-core"];
const BUCKETS: &[&str] = &["object_store"];
const SERVER: &[&str] = &["axum"];
/// A second TLS stack beside aws-lc-rs makes rustls panic at its first use, and OpenSSL cannot be linked statically.
const OTHER_TLS: &[&str] = &["ring", "openssl-sys", "native-tls"];

const WIRE: &str = "modelward-wire";
const CRDS: &str = "modelward-crds";
const MODEL: &str = "modelward-model";
const PROFILE: &str = "modelward-profile";
const SERVICE: &str = "modelward-service";
const CORE: &str = "modelward-core";
const CONTROLLERS: &str = "modelward-controllers";
const LEDGER: &str = "modelward-ledger";
const LEDGER_CLIENT: &str = "modelward-ledger-client";
const MLFLOW: &str = "modelward-mlflow";
const CONSOLE: &str = "modelward-console";
const KIT: &str = "modelward-kit";

/// A crate that is not here may not exist; one that is here need not exist yet.
const RULES: &[Rule] = &[
    Rule {
        name: WIRE,
        ours: &[],
        never: &[IO, OTHER_TLS],
        only: Some(&["serde"]),
    },
    Rule {
        name: CRDS,
        ours: &[WIRE],
        never: &[IO, OTHER_TLS],
        only: None,
    },
    Rule {
        name: MODEL,
        ours: &[WIRE],
        never: &[IO, OTHER_TLS],
        only: None,
    },
    Rule {
        name: PROFILE,
        ours: &[WIRE],
        never: &[IO, OTHER_TLS],
        only: None,
    },
    Rule {
        name: SERVICE,
        ours: &[],
        never: &[OTHER_TLS],
        only: Some(&[
            "clap",
            "prometheus-client",
            "tokio",
            "tracing",
            "tracing-subscriber",
        ]),
    },
    Rule {
        name: CORE,
        ours: &[WIRE, CRDS, PROFILE],
        never: &[IO, OTHER_TLS],
        only: None,
    },
    Rule {
        name: CONTROLLERS,
        ours: &[WIRE, CRDS, CORE, LEDGER_CLIENT, SERVICE],
        never: &[DATABASE, BUCKETS, OTHER_TLS],
        only: None,
    },
    Rule {
        name: LEDGER,
        ours: &[WIRE, CRDS, MLFLOW, PROFILE, SERVICE],
        never: &[OTHER_TLS],
        only: None,
    },
    Rule {
        name: MLFLOW,
        ours: &[WIRE, SERVICE],
        never: &[KUBERNETES_CLIENT, DATABASE, BUCKETS, SERVER, OTHER_TLS],
        only: None,
    },
    Rule {
        name: LEDGER_CLIENT,
        ours: &[WIRE, PROFILE, SERVICE],
        never: &[KUBERNETES_CLIENT, DATABASE, BUCKETS, SERVER, OTHER_TLS],
        only: None,
    },
    Rule {
        name: CONSOLE,
        ours: &[WIRE, CRDS],
        never: &[DATABASE, BUCKETS, OTHER_TLS],
        only: None,
    },
    Rule {
        name: "modelward-operator",
        ours: &[WIRE, CORE, CONTROLLERS, LEDGER, CONSOLE, SERVICE],
        never: &[OTHER_TLS],
        only: None,
    },
    Rule {
        name: "modelward-inference",
        ours: &[WIRE, MODEL, PROFILE, SERVICE, LEDGER_CLIENT],
        never: &[KUBERNETES_CLIENT, DATABASE, BUCKETS, OTHER_TLS],
        only: None,
    },
    Rule {
        name: "modelward-trainer",
        ours: &[WIRE, MODEL, PROFILE, CRDS, SERVICE, LEDGER_CLIENT],
        never: &[KUBERNETES_CLIENT, DATABASE, OTHER_TLS],
        only: None,
    },
    Rule {
        name: KIT,
        ours: &[WIRE, CRDS],
        never: &[OTHER_TLS],
        only: None,
    },
    // Knows the programs by what a user of the cluster sees.
    Rule {
        name: "modelward-e2e",
        ours: &[WIRE, CRDS, KIT],
        never: &[OTHER_TLS],
        only: None,
    },
    // Drives the operator and the ledger in its own process.
    Rule {
        name: "modelward-trials",
        ours: &[WIRE, CRDS, CORE, CONTROLLERS, LEDGER, PROFILE, KIT],
        never: &[OTHER_TLS],
        only: None,
    },
    // Judges as the ledger does and compares as the trainer does, by their libraries alone.
    Rule {
        name: "modelward-verdicts",
        ours: &[WIRE, PROFILE, CRDS, "modelward-trainer"],
        never: &[KUBERNETES_CLIENT, DATABASE, SERVER, OTHER_TLS],
        only: None,
    },
    // Fits and selects as the trainer does, by its library alone.
    Rule {
        name: "modelward-benches",
        ours: &[MODEL, CRDS, "modelward-trainer"],
        never: &[KUBERNETES_CLIENT, DATABASE, SERVER, OTHER_TLS],
        only: None,
    },
    // Reads as the programs do, by their libraries alone.
    Rule {
        name: "modelward-fuzz",
        ours: &[WIRE, MODEL, PROFILE, CRDS, SERVICE, "modelward-trainer"],
        never: &[KUBERNETES_CLIENT, DATABASE, OTHER_TLS],
        only: None,
    },
    Rule {
        name: "modelward-load",
        ours: &[WIRE],
        never: &[OTHER_TLS],
        only: None,
    },
    // It has only tests, and dependencies of tests are not checked.
    Rule {
        name: "modelward-tests",
        ours: &[],
        never: &[OTHER_TLS],
        only: None,
    },
];

/// Calls that read the clock.
const CLOCK: &[&str] = &[
    "SystemTime::now",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
    "Utc::now",
    "Local::now",
    "OffsetDateTime::now",
    "UNIX_EPOCH.elapsed",
];

// === the checker ===

/// The workspace as the checker sees it.
struct Graph {
    /// Direct dependencies of each crate of the workspace, those of its tests left out.
    direct: BTreeMap<String, BTreeSet<String>>,
    /// What is below each.
    below: BTreeMap<String, Closure>,
}

/// Every arrow that should not be, in words.
fn forbidden(graph: &Graph, rules: &[Rule]) -> Vec<String> {
    let mut found = Vec::new();
    for (name, direct) in &graph.direct {
        let Some(rule) = rules.iter().find(|rule| rule.name == name) else {
            found.push(format!("{name} has no rule"));
            continue;
        };
        for dependency in direct {
            let is_ours = graph.direct.contains_key(dependency);
            if is_ours && !rule.ours.contains(&dependency.as_str()) {
                found.push(format!("{name} -> {dependency}"));
            }
            if !is_ours && rule.only.is_some_and(|only| !only.contains(&dependency.as_str())) {
                found.push(format!(
                    "{name} -> {dependency}, it may have {} only",
                    rule.only.unwrap_or_default().join(", ")
                ));
            }
        }
        for never in rule.never.iter().copied().flatten() {
            if graph.below[name].contains(*never) {
                found.push(format!("{name} -> … -> {never}"));
            }
        }
    }
    found
}

/// What cargo prints. The crates of every target are read, also those that no build on this machine needs: what is not
/// here yet is fetched once.
fn cargo(arguments: &[&str]) -> String {
    let offline = run_cargo(arguments, &["--offline", "--locked"]);
    let output = if offline.status.success() {
        offline
    } else {
        let fetch = run_cargo(&["fetch"], &["--locked"]);
        assert!(
            fetch.status.success(),
            "the crates of every target are needed: run `cargo fetch --locked` where a registry can be reached: {}",
            String::from_utf8_lossy(&fetch.stderr)
        );
        run_cargo(arguments, &["--offline", "--locked"])
    };
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {}: {error}", arguments.join(" "));
    String::from_utf8(output.stdout).expect("cargo writes UTF-8")
}

fn run_cargo(arguments: &[&str], flags: &[&str]) -> Output {
    Command::new(env!("CARGO"))
        .args(arguments)
        .args(flags)
        .current_dir(crate::root())
        .output()
        .expect("cargo runs")
}

fn workspace() -> Graph {
    let metadata: Value =
        serde_json::from_str(&cargo(&["metadata", "--format-version", "1", "--no-deps"])).unwrap();
    let mut graph = Graph {
        direct: BTreeMap::new(),
        below: BTreeMap::new(),
    };
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap().to_owned();
        let direct = package["dependencies"].as_array().unwrap().iter();
        let direct = direct.filter(|dependency| dependency["kind"].is_null());
        let direct = direct
            .map(|dependency| dependency["name"].as_str().unwrap().to_owned())
            .collect();
        let tree = cargo(&[
            "tree", "-p", &name, "-e", "normal", "--prefix", "none", "--target", "all",
        ]);
        let below = tree
            .lines()
            .filter_map(|line| line.split_whitespace().next())
            .map(str::to_owned)
            .collect();
        graph.direct.insert(name.clone(), direct);
        graph.below.insert(name, below);
    }
    graph
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in
        std::fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
    {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// Lines of code that read the clock. Comments may speak of it.
fn clock_readers(text: &str) -> Vec<String> {
    let code = |line: &&str| !line.trim_start().starts_with("//");
    let reads = |line: &&str| {
        let dense: String = line
            .chars()
            .filter(|character| !character.is_whitespace())
            .collect();
        CLOCK.iter().any(|call| dense.contains(call))
    };
    text.lines()
        .filter(code)
        .filter(reads)
        .map(|line| line.trim().to_owned())
        .collect()
}

// === the workspace ===

#[test]
fn no_crate_has_an_arrow_that_it_must_not_have() {
    let graph = workspace();
    assert!(
        graph.direct.len() >= 10,
        "only {} crates were seen",
        graph.direct.len()
    );
    assert!(
        graph.below["modelward-controllers"].contains("kube-client"),
        "the walk does not see what is below"
    );
    let found = forbidden(&graph, RULES);
    assert!(found.is_empty(), "forbidden arrows:\n{}", found.join("\n"));
}

#[test]
fn crates_that_decide_and_score_never_read_the_clock() {
    for crate_path in [
        "operator/core/src",
        "inference/model/src",
        "inference/profile/src",
    ] {
        let directory = crate::root().join(crate_path);
        if !directory.exists() {
            continue;
        }
        for file in sources(&directory) {
            let found = clock_readers(&std::fs::read_to_string(&file).unwrap());
            assert!(
                found.is_empty(),
                "{} reads the clock: {}",
                file.display(),
                found.join("; ")
            );
        }
    }
}

// === the checker is seen to find ===

fn fake(crates: &[(&str, &[&str], &[&str])]) -> Graph {
    let owned = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<BTreeSet<_>>()
    };
    Graph {
        direct: crates
            .iter()
            .map(|(name, direct, _)| ((*name).to_owned(), owned(direct)))
            .collect(),
        below: crates
            .iter()
            .map(|(name, _, below)| ((*name).to_owned(), owned(below)))
            .collect(),
    }
}

#[test]
fn a_good_graph_has_no_finding() {
    let good = fake(&[
        (WIRE, &["serde"], &["serde"]),
        (CRDS, &[WIRE, "kube"], &[WIRE, "serde", "kube", "kube-core"]),
        (CORE, &[CRDS, WIRE], &[CRDS, WIRE, "serde"]),
    ]);
    assert_eq!(forbidden(&good, RULES), Vec::<String>::new());
}

#[test]
fn each_kind_of_forbidden_arrow_is_found() {
    let bad = fake(&[
        (WIRE, &["serde", "chrono"], &["serde", "chrono"]),
        (CRDS, &[WIRE, "kube"], &[WIRE, "kube", "kube-client"]),
        (CORE, &[LEDGER], &[LEDGER, "sqlx-core"]),
        (LEDGER, &[CONTROLLERS], &[CONTROLLERS]),
        (CONTROLLERS, &[], &["ring"]),
        (MODEL, &["rayon"], &["rayon", "tokio"]),
        ("modelward-trainer", &["kube"], &["kube", "kube-client"]),
        ("modelward-inference", &["kube"], &["kube-runtime"]),
        ("modelward-shortcut", &[], &[]),
    ]);
    let found = forbidden(&bad, RULES);
    for arrow in [
        "modelward-wire -> chrono, it may have serde only",
        "modelward-crds -> … -> kube-client",
        "modelward-core -> modelward-ledger",
        "modelward-core -> … -> sqlx-core",
        "modelward-ledger -> modelward-controllers",
        "modelward-controllers -> … -> ring",
        "modelward-model -> … -> tokio",
        "modelward-trainer -> … -> kube-client",
        "modelward-inference -> … -> kube-runtime",
        "modelward-shortcut has no rule",
    ] {
        assert!(
            found.iter().any(|line| line == arrow),
            "{arrow} was not found in {found:#?}"
        );
    }
    assert_eq!(found.len(), 10, "{found:#?}");
}

#[test]
fn a_look_at_the_clock_is_found_and_a_comment_about_it_is_not() {
    let text = "// Timestamp::now() is for the caller\nlet a = std::time::Instant :: now();\nlet b = jiff::Timestamp::now();\nlet c = now;";
    assert_eq!(clock_readers(text).len(), 2);
}
