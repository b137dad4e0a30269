//! The end of a command by a signal.
//!
//! A fit of a large table may spend minutes in a C++ library that checks no flag. So another thread ends the process: it removes
//! half-written files, writes the termination message, and waits for nothing else.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
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

/// The exit code of a command that a signal ended: 128 and the number of SIGTERM, as a shell would say it.
pub const INTERRUPTED: i32 = 143;

/// What has to be done when a signal ends a command.
#[derive(Debug)]
pub struct Interruption {
    /// What the command writes.
    outputs: Vec<PathBuf>,
    /// Where a Job reports its end, and of which stage.
    report: Option<(PathBuf, JobStage)>,
    /// Whether the command has ended.
    concluded: Mutex<bool>,
}

/// Ends the process, even if a panic comes first.
struct ExitOnDrop;

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
            concluded: Mutex::new(false),
        }
    }

    /// Records that the command has ended: a later signal changes nothing. If one came before, this does not return.
    pub fn conclude(&self) {
        *self.concluded.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }

    /// Ends the process, unless the command has ended.
    pub fn stop(&self) {
        let concluded = self.concluded.lock().unwrap_or_else(PoisonError::into_inner);
        if *concluded {
            return;
        }
        // Logging panics if the reader of the log is gone; the process has to end anyway.
        let _exit = ExitOnDrop;
        for output in &self.outputs {
            undo(output);
        }
        clean_up();
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
}

impl Drop for ExitOnDrop {
    fn drop(&mut self) {
        end_process(INTERRUPTED)
    }
}

fn undo(output: &Path) {
    if let Err(error) = undo_write(output) {
        tracing::warn!(%error, path = %output.display(), "half-written files were not removed");
    }
}
