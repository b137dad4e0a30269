//! What came of attacks and honest uses, printed as it comes and counted.

use std::fmt::Debug;

/// What refuses.
#[derive(Clone, Copy, Debug)]
pub enum By {
    /// An admission policy of this name.
    Policy(&'static str),
    /// One of several admission policies that refuse it: which one the API server names is not fixed.
    AnyOf(&'static [&'static str]),
    /// The CRD.
    Schema,
    /// RBAC.
    Roles,
}

/// What came of everything so far.
#[derive(Default)]
pub struct Tally {
    /// What each line begins with.
    case: &'static str,
    refused: usize,
    allowed: usize,
    checked: usize,
    wrong: Vec<String>,
}

// === impl Tally ===

impl Tally {
    /// A tally whose lines begin with the name of a case.
    #[allow(dead_code, reason = "the gate's own cases have no names")]
    pub fn named(case: &'static str) -> Self {
        Self {
            case,
            ..Self::default()
        }
    }

    fn line(&self, came_of_it: &str, text: &str) {
        if self.case.is_empty() {
            println!("{came_of_it:<8} {text}");
        } else {
            println!("{came_of_it:<8} {}: {text}", self.case);
        }
    }

    /// An attack must be refused by this, with these words.
    pub fn refused<T>(&mut self, attack: &str, by: By, words: &str, outcome: Result<T, kube::Error>) {
        let found = match outcome {
            Ok(_) => "it was let through".to_owned(),
            Err(kube::Error::Api(status)) => {
                let by_policy = |name: &str| {
                    status
                        .message
                        .contains(&format!("ValidatingAdmissionPolicy '{name}'"))
                };
                let named = match by {
                    By::Policy(name) => by_policy(name),
                    By::AnyOf(names) => names.iter().any(|name| by_policy(name)),
                    By::Schema => status.code == 422 && !status.message.contains("ValidatingAdmissionPolicy"),
                    By::Roles => status.code == 403 && status.message.contains(" cannot "),
                };
                if named && status.message.contains(words) {
                    self.refused += 1;
                    self.line("refused", &format!("{attack}: {}", sentence(&status.message)));
                    return;
                }
                status.message.clone()
            }
            Err(error) => error.to_string(),
        };
        self.wrong(format!(
            "{attack} must be refused by {by:?} with {words:?}: {found}"
        ));
    }

    /// An honest use must be allowed.
    pub fn allowed<T>(&mut self, what: &str, outcome: Result<T, kube::Error>) -> Option<T> {
        match outcome {
            Ok(done) => {
                self.allowed += 1;
                self.line("allowed", what);
                Some(done)
            }
            Err(error) => {
                self.wrong(format!("{what} must be allowed: {error}"));
                None
            }
        }
    }

    /// What is found must be what should be.
    pub fn is<T: PartialEq<U> + Debug, U: Debug>(&mut self, what: &str, found: &T, should: &U) {
        if *found == *should {
            self.checked += 1;
            self.line("is so", what);
        } else {
            self.wrong(format!("{what}: {found:?} should be {should:?}"));
        }
    }

    /// An attack that must fail for the reason that was checked.
    pub fn holds(&mut self, attack: &str, holds: bool, found: &str) {
        if holds {
            self.refused += 1;
            self.line("refused", &format!("{attack}: {}", found.trim()));
        } else {
            self.wrong(format!("{attack}: {found}"));
        }
    }

    /// What came of others.
    pub fn add(&mut self, other: Self) {
        self.refused += other.refused;
        self.allowed += other.allowed;
        self.checked += other.checked;
        self.wrong.extend(other.wrong);
    }

    /// Something that is as it must not be.
    pub fn wrong(&mut self, text: String) {
        self.line("WRONG", &text);
        self.wrong.push(text);
    }

    /// Says how many, and fails where anything was wrong.
    pub fn finish(self) {
        assert!(
            self.wrong.is_empty(),
            "{} wrong: {:#?}",
            self.wrong.len(),
            self.wrong
        );
        println!(
            "{} facts checked\n{} attacks refused, {} honest uses allowed",
            self.checked, self.refused, self.allowed
        );
    }
}

/// What a person reads, without what the API server says around it.
fn sentence(message: &str) -> &str {
    message
        .split_once("denied request: ")
        .map_or(message, |(_, sentence)| sentence)
}
