//! Processes of their own for every stage of every engine: this program, started again.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::args::{Stage, Workload};
use crate::engines::Kind;
use crate::measure::Measurement;
use crate::workloads::FILLED;

/// What every child of a run is told.
pub struct Task {
    pub kind: Kind,
    pub dir: PathBuf,
    pub entries: u64,
    pub workloads: Vec<Workload>,
    pub window_ms: u64,
    /// A control group, and its limit in MiB.
    pub limit: Option<(PathBuf, u64)>,
}

impl Task {
    /// Runs a stage to its end; what it measured.
    pub fn run(&self, stage: Stage) -> Result<Vec<Measurement>> {
        if stage == Stage::FillAndWait {
            self.fill_and_kill()?;
            return self.run(Stage::Recover);
        }
        let mut child = self.start(stage)?;
        let measurements = lines(&mut child)?
            .map(|line| serde_json::from_str(&line?).context("what a child printed"))
            .collect::<Result<_>>();
        let status = child.wait()?;
        ensure!(status.success(), "{}, {stage:?}: {status}", self.kind.name());
        measurements
    }

    fn fill_and_kill(&self) -> Result<()> {
        let mut child = self.start(Stage::FillAndWait)?;
        let said = lines(&mut child)?.next();
        child.kill()?;
        child.wait()?;
        match said {
            Some(line) if line.as_ref().is_ok_and(|line| line == FILLED) => Ok(()),
            said => bail!("{} did not say that it was filled: {said:?}", self.kind.name()),
        }
    }

    fn start(&self, stage: Stage) -> Result<Child> {
        let mut command = Command::new(this_program()?);
        command.arg("run").arg(self.kind.to_string()).arg(stage.to_string());
        command.arg("--dir").arg(&self.dir);
        command.args(["--entries", &self.entries.to_string(), "--window-ms", &self.window_ms.to_string()]);
        if !self.workloads.is_empty() {
            let names: Vec<_> = self.workloads.iter().map(ToString::to_string).collect();
            command.args(["--workloads", &names.join(",")]);
        }
        if let Some((group, memory_mib)) = &self.limit {
            command.arg("--cgroup").arg(group).args(["--memory-mib", &memory_mib.to_string()]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("starting a child")
    }
}

fn lines(child: &mut Child) -> Result<impl Iterator<Item = std::io::Result<String>> + use<>> {
    let output = child.stdout.take().context("a child's output is a pipe")?;
    Ok(BufReader::new(output).lines())
}

/// The program that is running, even if its file was replaced meanwhile.
fn this_program() -> Result<&'static Path> {
    let program = Path::new("/proc/self/exe");
    ensure!(program.exists(), "{} is missing: /proc is needed", program.display());
    Ok(program)
}
