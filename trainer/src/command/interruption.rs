//! The end of a command by a signal.
//!
//! A fit of a large table may spend minutes in a C++ library that checks no flag. So another thread ends the process: it removes
//! half-written files, writes the termination message unless the result is already there, and waits for nothing else.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use modelward_model::files::undo_write;
use modelward_wire::{JobResult, JobStage, Verdict};

use crate::{
    command::{
        arguments::{Cli, Command, PublishArgs},
        temporary::clean_up,
    },
    engine::end_process,
    report,
};

/// The exit code of a command that a signal ended before its result: 128 and the number of SIGTERM, as a shell would say it.
pub const INTERRUPTED: i32 = 143;

/// What has to be done when a signal ends a command.
#[derive(Debug)]
pub struct Interruption {
    /// What the command writes.
    outputs: Vec<PathBuf>,
    /// Where a Job reports its end, and of which stage.
    report: Option<(PathBuf, JobStage)>,
    /// How far the command is.
    state: Mutex<State>,
}

/// How far a command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It has no result.
    Working,
    /// A Job has written its result as the termination message. The operator needs nothing else.
    Reported,
    /// It has ended.
    Concluded,
}

/// Ends the process with this exit code, even if a panic comes first.
struct ExitOnDrop(i32);

// === impl Interruption ===

impl Interruption {
    /// For this command line.
    pub fn new(cli: &Cli) -> Self {
        let reported = |publish: &PublishArgs, stage: JobStage| {
            let path = publish.termination_log.clone();
            publish.publish.then_some((path, stage))
        };
        let (outputs, report) = match &cli.command {
            Command::Snapshot(args) => (
                vec![args.out.clone()],
                reported(&args.publish, JobStage::Snapshot),
            ),
            Command::Fit(args) => (vec![args.out.clone()], reported(&args.publish, JobStage::Fit)),
            Command::Prepare(args) => (Vec::new(), reported(&args.publish, JobStage::Fit)),
            Command::Import(args) => (vec![args.out.clone()], reported(&args.publish, JobStage::Import)),
            Command::Inspect(args) => (vec![args.spec_out.as_ref().map(PathBuf::from)], None),
            Command::Validate(args) => (vec![args.json.clone(), args.html.clone()], None),
            Command::Score(_) | Command::Suggest(_) | Command::Download(_) => (Vec::new(), None),
        };
        Self {
            outputs: outputs.into_iter().flatten().collect(),
            report,
            state: Mutex::new(State::Working),
        }
    }

    /// Writes the result of a Job as its termination message. A later signal leaves it there, and the exit code is 0. If a signal came
    /// before, this does not return.
    pub(super) fn write_result(&self, path: &Path, result: &JobResult) -> io::Result<()> {
        let mut state = self.lock();
        report::write_termination(path, result)?;
        *state = State::Reported;
        Ok(())
    }

    /// Records that the command has ended: a later signal changes nothing. If one came before, this does not return.
    pub fn conclude(&self) {
        *self.lock() = State::Concluded;
    }

    /// Ends the process, unless the command has ended.
    pub fn stop(&self) {
        let state = self.lock();
        let code = match *state {
            State::Working => INTERRUPTED,
            State::Reported => 0,
            State::Concluded => return,
        };
        // Logging panics if the reader of the log is gone; the process has to end anyway.
        let _exit = ExitOnDrop(code);
        for output in &self.outputs {
            undo(output);
        }
        clean_up();
        if *state == State::Reported {
            tracing::warn!("stopped by a signal after the result was written; the ledger may not have it");
            return;
        }
        if let Some((path, stage)) = &self.report {
            let message = "stopped by a signal before the result, as when its Pod is deleted or its node is drained; \
                           nothing is known about the data";
            let result = JobResult::new(*stage, Verdict::Interrupted, message);
            if let Err(error) = report::write_termination(path, &result) {
                tracing::warn!(%error, path = %path.display(), "the termination message was not written");
            }
        }
        tracing::warn!("stopped by a signal before the result");
        // The lock is held: a command that fails because its files are gone waits in `conclude`.
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ExitOnDrop {
    fn drop(&mut self) {
        end_process(self.0)
    }
}

fn undo(output: &Path) {
    if let Err(error) = undo_write(output) {
        tracing::warn!(%error, path = %output.display(), "half-written files were not removed");
    }
}
