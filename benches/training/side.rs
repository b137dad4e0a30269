//! A process that fits the family that each line of its input names.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context as _, ensure};

use crate::worker::Fit;

/// One side of the pairs. The process is killed when this is dropped.
pub(crate) struct Side {
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

// === impl Side ===

impl Side {
    pub(crate) fn start(command: &mut Command) -> anyhow::Result<Self> {
        // Linear algebra libraries use all processors unless they are limited.
        command.envs(["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"].map(|name| (name, "1")));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let (asks, answers) = (child.stdin.take(), child.stdout.take());
        Ok(Self {
            child,
            asks: asks.context("no input")?,
            answers: BufReader::new(answers.context("no output")?),
        })
    }

    pub(crate) fn fit(&mut self, family: &str) -> anyhow::Result<Fit> {
        writeln!(self.asks, "{family}")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        ensure!(
            !line.is_empty(),
            "a side of the comparison ended at {family}; its message is above"
        );
        serde_json::from_str(&line).with_context(|| format!("not a fit: {line}"))
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
