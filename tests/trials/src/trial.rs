//! Trials: the list of trials, how one runs, and the report.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use futures::{StreamExt as _, future::try_join_all, stream};
use modelward_kit::faults::{At, Cut, Write};

use crate::{
    cluster::TestCluster,
    judge::Log,
    state::{EndState, MASKED},
    story::Story,
    world::World,
};

/// Time limit for reaching the end state after the end of the story.
const SETTLES: Duration = Duration::from_secs(20);

/// What to run.
#[derive(Clone, Debug)]
pub struct Selection {
    /// The stories.
    pub stories: Vec<Story>,
    /// Number of trials, spread evenly over all; all of them if not set.
    pub sample: Option<usize>,
    /// Only this write.
    pub only: Option<usize>,
    /// Only writes like this one, named as in the table.
    pub site: Option<String>,
    /// Number of concurrent trials.
    pub jobs: usize,
    /// Whether to stop at the first violation.
    pub hasty: bool,
    /// Directory for wrong end states.
    pub states: Option<PathBuf>,
}

/// One trial: a story and a cut.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Trial {
    /// The story.
    pub story: Story,
    /// The write and the point of the cut.
    pub cut: Option<(Place, Cut)>,
}

/// A write of the run without a fault, and how to find it in another run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Its number in the run without a fault, from 1.
    pub index: usize,
    /// Its kind.
    pub site: String,
    /// Its number among similar writes, from 1.
    pub like_it: usize,
}

/// The result of one trial.
#[derive(Debug)]
pub struct Outcome {
    /// The trial.
    pub trial: Trial,
    /// Its namespace.
    pub namespace: String,
    /// The cut, with the number of the write in this run.
    pub made: Option<Write>,
    /// The violations, as text.
    pub violations: Vec<String>,
    /// Its duration.
    pub took: Duration,
}

/// The results of all trials.
pub struct Report {
    /// The writes of each story without a fault.
    pub writes: BTreeMap<Story, Vec<Write>>,
    /// All trials.
    pub outcomes: Vec<Outcome>,
    /// Number of writes that required an approval and had one.
    pub covered: usize,
    /// The total duration.
    pub took: Duration,
}

/// A story without a fault.
struct Faultless {
    state: EndState,
    writes: Vec<Write>,
    namespaces: Vec<String>,
}

/// Runs the selected trials.
pub async fn run(world: &Arc<World>, selection: &Selection) -> Result<Report> {
    let begun = Instant::now();
    let plays = selection.stories.iter().map(async |story| {
        let run = Faultless::run(world, *story, selection.states.as_deref()).await?;
        anyhow::Ok((*story, run))
    });
    let faultless: BTreeMap<_, _> = try_join_all(plays).await?.into_iter().collect();
    let trials = trials(&faultless, selection);
    let all = trials.len();
    let mut outcomes = Vec::new();
    let mut running = stream::iter(trials)
        .map(|trial| {
            let reference = &faultless[&trial.story].state;
            let states = selection.states.as_deref();
            async move { trial.run(world, reference, states).await }
        })
        .buffer_unordered(selection.jobs);
    while let Some(outcome) = running.next().await {
        let violated = !outcome.violations.is_empty();
        if violated {
            println!("{outcome}");
        }
        outcomes.push(outcome);
        if outcomes.len() % 25 == 0 {
            println!(
                "{} of {all} trials, {:.0} s",
                outcomes.len(),
                begun.elapsed().as_secs_f64()
            );
        }
        if selection.hasty && violated {
            break;
        }
    }
    drop(running);

    let log = Log::read(&world.api.audit_log())?;
    let mut covered = 0;
    for outcome in &mut outcomes {
        let verdict = log.judge(&outcome.namespace);
        covered += verdict.covered;
        outcome.violations.extend(verdict.violations);
    }
    // Violations without a fault also count, and a judge that finds no risky write does not work.
    for (story, run) in &faultless {
        for namespace in &run.namespaces {
            let mut verdict = log.judge(namespace);
            if (verdict.covered > 0) != (*story == Story::Approved) {
                let words = format!("{} risky writes had their approval", verdict.covered);
                verdict.violations.push(words);
            }
            covered += verdict.covered;
            outcomes.push(Outcome {
                trial: Trial {
                    story: *story,
                    cut: None,
                },
                namespace: namespace.clone(),
                made: None,
                violations: verdict.violations,
                took: Duration::ZERO,
            });
        }
    }
    outcomes.sort_by(|a, b| a.trial.cmp(&b.trial));
    Ok(Report {
        writes: faultless
            .into_iter()
            .map(|(story, run)| (story, run.writes))
            .collect(),
        outcomes,
        covered,
        took: begun.elapsed(),
    })
}

fn trials(faultless: &BTreeMap<Story, Faultless>, selection: &Selection) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (story, run) in faultless {
        // The stories differ only after the decision; the writes before it are cut only in the first story.
        let first = match story {
            Story::Approved => 1,
            _ => run
                .writes
                .iter()
                .find(|write| {
                    write.site() == "POST remediationactions" || write.path.contains("/remediationactions/")
                })
                .map_or(1, |write| write.index),
        };
        for place in Place::all(&run.writes).skip(first - 1) {
            trials.extend(Cut::ALL.map(|cut| Trial {
                story: *story,
                cut: Some((place.clone(), cut)),
            }));
        }
    }
    trials.retain(|trial| {
        let Some((place, _)) = &trial.cut else {
            return true;
        };
        selection.only.is_none_or(|only| place.index == only)
            && selection.site.as_ref().is_none_or(|site| place.site == *site)
    });
    if let Some(sample) = selection.sample.filter(|sample| *sample < trials.len()) {
        // A step that is not a multiple of three covers every kind of cut.
        trials = (0..sample)
            .map(|number| trials[number * trials.len() / sample].clone())
            .collect();
    }
    trials
}

/// Writes the state of a cluster to a file, for debugging.
async fn keep(states: Option<&Path>, cluster: &TestCluster, name: &str) -> Result<()> {
    if let Some(directory) = states {
        std::fs::create_dir_all(directory)?;
        let state = EndState::read(cluster).await?;
        std::fs::write(directory.join(name), state.text())?;
    }
    Ok(())
}

// === impl Place ===

impl Place {
    /// The places of these writes.
    fn all(writes: &[Write]) -> impl Iterator<Item = Self> {
        let mut seen = BTreeMap::<String, usize>::new();
        writes.iter().map(move |write| {
            let site = write.site();
            let like_it = seen.entry(site.clone()).or_default();
            *like_it += 1;
            Self {
                index: write.index,
                like_it: *like_it,
                site,
            }
        })
    }
}

// === impl Faultless ===

impl Faultless {
    /// Runs the story twice, because differences between two runs without a fault say nothing about faults.
    async fn run(world: &Arc<World>, story: Story, states: Option<&Path>) -> Result<Self> {
        let (first, second) = tokio::try_join!(
            Box::pin(Self::once(world, story, states)),
            Box::pin(Self::once(world, story, states)),
        )?;
        let ((state, writes, namespace), (again, _, second)) = (first, second);
        let differences = state.differences(&again);
        ensure!(
            differences.is_empty(),
            "{} without a fault ends in two ways: {differences:#?}",
            story.as_str()
        );
        Ok(Self {
            state,
            writes,
            namespaces: vec![namespace, second],
        })
    }

    async fn once(
        world: &Arc<World>,
        story: Story,
        states: Option<&Path>,
    ) -> Result<(EndState, Vec<Write>, String)> {
        let mut cluster = TestCluster::open(world, []).await?;
        cluster.start_operator()?;
        if let Err(error) = story.play(&cluster).await {
            keep(states, &cluster, &format!("{}-without-a-fault", story.as_str())).await?;
            return Err(error);
        }
        // At rest, neither a reconcile nor a minute of time changes anything.
        let mut still = 0;
        for _ in 0..40 {
            let before = cluster.faults.writes().len();
            tokio::time::sleep(Duration::from_millis(250)).await;
            cluster.advance(15).await?;
            still = if cluster.faults.writes().len() == before {
                still + 1
            } else {
                0
            };
            if still == 4 {
                break;
            }
        }
        ensure!(
            still == 4,
            "{} does not come to rest: {:#?}",
            story.as_str(),
            cluster.faults.writes().iter().rev().take(8).collect::<Vec<_>>()
        );
        let state = EndState::read(&cluster).await?;
        let writes = cluster.faults.writes();
        cluster.kill_operator().await;
        Ok((state, writes, cluster.namespace.clone()))
    }
}

// === impl Trial ===

impl Trial {
    async fn run(self, world: &Arc<World>, reference: &EndState, states: Option<&Path>) -> Outcome {
        let begun = Instant::now();
        let mut outcome = Outcome {
            trial: self.clone(),
            namespace: String::new(),
            made: None,
            violations: Vec::new(),
            took: Duration::ZERO,
        };
        if let Err(error) = self.try_run(world, reference, states, &mut outcome).await {
            outcome.violations.push(format!("I6: it does not end: {error:#}"));
        }
        outcome.took = begun.elapsed();
        outcome
    }

    async fn try_run(
        self,
        world: &Arc<World>,
        reference: &EndState,
        states: Option<&Path>,
        outcome: &mut Outcome,
    ) -> Result<()> {
        let cut = self.cut.as_ref().map(|(place, cut)| {
            let at = At::Site(place.site.clone(), place.like_it);
            (at, *cut)
        });
        let mut cluster = TestCluster::open(world, cut).await?;
        outcome.namespace.clone_from(&cluster.namespace);
        cluster.start_operator()?;
        let played = self.story.play(&cluster).await;
        outcome.made = cluster.faults.made().into_iter().next().map(|(write, _)| write);
        let name = self.to_string().replace(' ', "-");
        if played.is_err() {
            keep(states, &cluster, &name).await?;
        }
        played?;
        let ended = Instant::now();
        let differences = loop {
            let state = EndState::read(&cluster).await?;
            let differences = reference.differences(&state);
            if differences.is_empty() || ended.elapsed() > SETTLES {
                break differences;
            }
            tokio::time::sleep(Duration::from_millis(150)).await;
            if ended.elapsed() > Duration::from_secs(1) {
                cluster.nudge().await?;
            }
        };
        outcome.made = cluster.faults.made().into_iter().next().map(|(write, _)| write);
        outcome.violations = differences
            .into_iter()
            .map(|difference| format!("I6: {difference}"))
            .collect();
        if !outcome.violations.is_empty() {
            keep(states, &cluster, &name).await?;
        }
        cluster.kill_operator().await;
        Ok(())
    }
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cut {
            Some((place, cut)) => write!(
                f,
                "{} cut {cut:?} at write {} ({} number {})",
                self.story.as_str(),
                place.index,
                place.site,
                place.like_it
            ),
            None => write!(f, "{} without a fault", self.story.as_str()),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.trial)?;
        if let Some(write) = &self.made {
            write!(f, " {{{}}}", write.summary)?;
        }
        write!(f, ", {:.1} s, {}", self.took.as_secs_f64(), self.namespace)?;
        for violation in &self.violations {
            write!(f, "\n    {violation}")?;
        }
        Ok(())
    }
}

// === impl Report ===

impl Report {
    /// The number of violations.
    pub fn violations(&self) -> usize {
        self.outcomes.iter().map(|outcome| outcome.violations.len()).sum()
    }

    /// Trials with fewer writes than the number of the cut.
    fn unmade(&self) -> usize {
        self.outcomes
            .iter()
            .filter(|outcome| outcome.trial.cut.is_some() && outcome.made.is_none())
            .count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sites = BTreeMap::<String, (usize, BTreeMap<Cut, usize>)>::new();
        for write in self.writes.values().flatten() {
            sites.entry(write.site()).or_default().0 += 1;
        }
        for outcome in &self.outcomes {
            if let (Some(write), Some((_, cut))) = (&outcome.made, &outcome.trial.cut) {
                *sites.entry(write.site()).or_default().1.entry(*cut).or_default() += 1;
            }
        }
        writeln!(
            f,
            "{:<44} {:>6} {:>11} {:>10} {:>12}",
            "what the operator writes", "writes", "before send", "after send", "after answer"
        )?;
        for (site, (writes, cuts)) in &sites {
            let of = |cut| cuts.get(&cut).copied().unwrap_or(0);
            writeln!(
                f,
                "{site:<44} {writes:>6} {:>11} {:>10} {:>12}",
                of(Cut::BeforeSend),
                of(Cut::AfterSend),
                of(Cut::AfterAnswer)
            )?;
        }
        writeln!(f, "masked in end states:")?;
        for field in MASKED {
            writeln!(f, "  {field}")?;
        }
        for outcome in self
            .outcomes
            .iter()
            .filter(|outcome| !outcome.violations.is_empty())
        {
            writeln!(f, "{outcome}")?;
        }
        let longest = self
            .outcomes
            .iter()
            .map(|outcome| outcome.took)
            .max()
            .unwrap_or_default();
        let cut: BTreeSet<_> = self
            .outcomes
            .iter()
            .filter_map(|outcome| Some((outcome.trial.story, outcome.trial.cut.as_ref()?.0.index)))
            .collect();
        for (story, writes) in &self.writes {
            let tried = cut.iter().filter(|(of, _)| of == story).count();
            writeln!(
                f,
                "{}: {} writes, {tried} of them cut",
                story.as_str(),
                writes.len()
            )?;
        }
        writeln!(
            f,
            "{} risky writes had their approval; {} cuts came after a run's last write; the longest trial took {:.1} s",
            self.covered,
            self.unmade(),
            longest.as_secs_f64()
        )?;
        write!(
            f,
            "{} writes, {} trials, {} violations, {:.0} s",
            self.writes.values().map(Vec::len).sum::<usize>(),
            self.outcomes
                .iter()
                .filter(|outcome| outcome.trial.cut.is_some())
                .count(),
            self.violations(),
            self.took.as_secs_f64()
        )
    }
}
