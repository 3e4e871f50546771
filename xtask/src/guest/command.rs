//! Runs the tools: their output goes to a log file, whose end is shown when they fail.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

/// How many of the log's last lines an error shows.
const LINES_SHOWN: usize = 20;

/// Runs a tool to its end. `log` is appended to.
pub(crate) fn run(command: &mut Command, log: &Path) -> anyhow::Result<()> {
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let open = || File::options().create(true).append(true).open(log);
    let (stdout, stderr) = open()
        .and_then(|file| Ok((file.try_clone()?, file)))
        .with_context(|| format!("cannot write {}", log.display()))?;
    let program = command.get_program().to_owned();
    let status = command
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .status()
        .with_context(|| format!("cannot start {}", program.display()))?;
    if !status.success() {
        bail!("{} ended with {status}\n{}\nall of it: {}", program.display(), last_lines(log), log.display());
    }
    Ok(())
}

/// Runs a tool and returns what it prints. Its error output is shown only when it fails.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let program = command.get_program().to_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", program.display()))?;
    if !output.status.success() {
        bail!(
            "{} ended with {}\n{}",
            program.display(),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("{} printed something that is not UTF-8", program.display()))
}

fn last_lines(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_the_end_of_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("logs/tool.log");
        let script = "for i in $(seq 1 50); do echo line $i; done; exit 3";
        let error = run(Command::new("sh").args(["-c", script]), &log).unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.contains("line 50") && error.contains("line 31"));
        assert!(!error.contains("line 30"));
        assert!(fs::read_to_string(&log).unwrap().contains("line 1\n"));
    }

    #[test]
    fn output_is_returned() {
        assert_eq!(output(Command::new("sh").args(["-c", "echo out; echo err >&2"])).unwrap(), "out\n");
        assert!(
            output(Command::new("sh").args(["-c", "echo why >&2; exit 1"]))
                .unwrap_err()
                .to_string()
                .contains("why")
        );
    }
}
