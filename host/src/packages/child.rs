//! A child process with bounds: time, output, and nothing inherited but what it is given.

use std::io::{self, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

/// How a child ended by itself.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) status: ExitStatus,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChildError {
    #[error("it cannot be started: {0}")]
    Start(#[source] io::Error),
    #[error("it cannot be talked to: {0}")]
    Talk(#[source] io::Error),
    #[error("it took too long")]
    Timeout,
    #[error("it wrote more than {limit} bytes")]
    Output { limit: u64 },
}

/// How often a running child is looked at: short beside what a resolver takes.
const POLL: Duration = Duration::from_millis(3);

/// Runs a command to its end, or kills it and all that it started.
pub(super) fn run(
    mut command: Command,
    input: &[u8],
    output_bytes: u64,
    time: Duration,
) -> Result<Finished, ChildError> {
    let deadline = Instant::now() + time;
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().map_err(ChildError::Start)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let too_much = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(move || {
            // A child that does not read says in its result why.
            let _ = stdin.map(|mut stdin| stdin.write_all(input));
        });
        let stdout = scope.spawn(|| read(stdout, output_bytes, &too_much));
        let stderr = scope.spawn(|| read(stderr, output_bytes, &too_much));
        let ended = group_of(&child).and_then(|group| {
            let ended = wait(group, deadline, &too_much);
            // Also what it has left behind, which would keep the pipes open.
            let _ = kill_process_group(group, Signal::KILL);
            ended
        });
        let status = child.wait();
        let text = |joined: thread::Result<io::Result<Vec<u8>>>| {
            joined.unwrap_or_else(|_| Err(io::Error::other("a thread failed"))).map_err(ChildError::Talk)
        };
        let (stdout, stderr) = (text(stdout.join()), text(stderr.join()));
        if too_much.load(Ordering::Relaxed) {
            return Err(ChildError::Output { limit: output_bytes });
        }
        if !ended.map_err(ChildError::Talk)? {
            return Err(ChildError::Timeout);
        }
        Ok(Finished { status: status.map_err(ChildError::Talk)?, stdout: stdout?, stderr: stderr? })
    })
}

fn read(pipe: Option<impl Read>, limit: u64, too_much: &AtomicBool) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let Some(pipe) = pipe else { return Ok(bytes) };
    pipe.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        too_much.store(true, Ordering::Relaxed);
    }
    Ok(bytes)
}

/// Waits until the child ends, without taking its status: until then its number stays its own.
fn wait(group: Pid, deadline: Instant, too_much: &AtomicBool) -> io::Result<bool> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    while waitid(WaitId::Pid(group), options)?.is_none() {
        if Instant::now() >= deadline || too_much.load(Ordering::Relaxed) {
            return Ok(false);
        }
        thread::sleep(POLL);
    }
    Ok(true)
}

/// The child's own process group, which bears its number.
fn group_of(child: &Child) -> io::Result<Pid> {
    let number = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    number.ok_or_else(|| io::Error::other("its number is out of range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, time: Duration) -> Result<Finished, ChildError> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).env_clear();
        run(command, b"input\n", 1000, time)
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn output_and_status() {
        let finished = shell("read x; echo \"$x\"; echo problem >&2; exit 3", LONG).unwrap();
        assert_eq!(finished.stdout, b"input\n");
        assert_eq!(finished.stderr, b"problem\n");
        assert_eq!(finished.status.code(), Some(3));
    }

    #[test]
    fn attack_a_child_that_does_not_end_is_killed_with_all_it_started() {
        let began = Instant::now();
        let error = shell("sleep 600 & sleep 600", Duration::from_millis(100)).unwrap_err();
        assert!(matches!(error, ChildError::Timeout), "{error}");
        assert!(began.elapsed() < LONG);
    }

    #[test]
    fn attack_endless_output_ends() {
        let error =
            shell("while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; done", LONG).unwrap_err();
        assert!(matches!(error, ChildError::Output { limit: 1000 }), "{error}");
    }

    #[test]
    fn a_program_that_is_not_there() {
        let error = run(Command::new("/nonexistent"), b"", 10, LONG).unwrap_err();
        assert!(matches!(error, ChildError::Start(_)), "{error}");
    }
}
