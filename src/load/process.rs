//! Processes that a run starts itself, such as servers and a gateway before them: started in the order they were named, killed, paused and
//! started again by order, and all stopped at the end. It touches no process that it has not started.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::clock::Clock;

/// Longest wait until a process that was given a port listens there.
const STARTING: Duration = Duration::from_secs(30);

/// Longest wait for the end of a process that was asked to end.
const ENDING: Duration = Duration::from_secs(5);

/// How often a process is looked at meanwhile.
const GLANCE: Duration = Duration::from_millis(20);

/// Stands for the process's own port.
const PORT: &str = "{port}";

/// Why a process is not there.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// There is no such thing as was asked for.
    #[error("{0:?} does not start a process: write NAME=COMMAND, with a NAME of letters, digits, - and _, each once")]
    Form(String),
    /// It cannot be started, signalled, or logged.
    #[error("{name}: {doing} failed")]
    System {
        /// The process.
        name: String,
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// It was not waited for any longer.
    #[error("stopped before the run began")]
    Halted,
    /// It ended at once.
    #[error("{name} ended before it listened on port {port} ({status}); start with --logs DIRECTORY to see why")]
    Ended {
        /// The process.
        name: String,
        /// Its port.
        port: u16,
        /// How it ended.
        status: String,
    },
    /// It does not listen.
    #[error("{name} does not listen on port {port} after {} s; its command must use {{port}}", STARTING.as_secs())]
    Silent {
        /// The process.
        name: String,
        /// Its port.
        port: u16,
    },
}

/// A process to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// What chaos and reports call it.
    pub name: String,
    /// A command for `sh`. `{port}` is its own port, `{NAME.port}` that of another one.
    pub command: String,
}

/// Reads `NAME=COMMAND`.
///
/// # Errors
/// [`ProcessError::Form`].
pub fn order(text: &str) -> Result<Order, ProcessError> {
    let form = || ProcessError::Form(text.to_owned());
    let (name, command) = text.split_once('=').ok_or_else(form)?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.is_empty() || !name.bytes().all(is_plain) || command.trim().is_empty() {
        return Err(form());
    }
    Ok(Order { name: name.to_owned(), command: command.to_owned() })
}

/// All processes of a run, stopped when it is dropped.
#[derive(Debug)]
pub struct Troupe {
    members: Vec<Member>,
    logs: Option<PathBuf>,
    clock: Clock,
}

#[derive(Debug)]
struct Member {
    name: String,
    command: String,
    port: u16,
    listens: bool,
    child: Option<Child>,
}

impl Troupe {
    /// Settles ports and commands; nothing is started yet. What they write goes into files in `logs`, or nowhere.
    ///
    /// # Errors
    /// [`ProcessError`]: a name stands for two, or there is no free port.
    pub fn new(orders: &[Order], logs: Option<&Path>, clock: &Clock) -> Result<Self, ProcessError> {
        let mut members: Vec<Member> = Vec::with_capacity(orders.len());
        // Held until all are settled, so that each is another one.
        let mut held = Vec::with_capacity(orders.len());
        for order in orders {
            if members.iter().any(|member| member.name == order.name) {
                return Err(ProcessError::Form(format!("{}={}", order.name, order.command)));
            }
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
            let listener = listener.map_err(|source| failed(&order.name, "finding a port", source))?;
            let addr = listener.local_addr().map_err(|source| failed(&order.name, "finding a port", source))?;
            held.push(listener);
            let command = order.command.replace(PORT, &addr.port().to_string());
            let listens = order.command.contains(PORT);
            members.push(Member { name: order.name.clone(), command, port: addr.port(), listens, child: None });
        }
        drop(held);
        let mut troupe = Self { members, logs: logs.map(Path::to_owned), clock: clock.clone() };
        let commands: Vec<String> = troupe.members.iter().map(|member| troupe.filled(&member.command)).collect();
        for (member, command) in troupe.members.iter_mut().zip(commands) {
            member.command = command;
        }
        Ok(troupe)
    }

    /// A text with every `{NAME.port}` filled in.
    #[must_use]
    pub fn filled(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for member in &self.members {
            text = text.replace(&format!("{{{}.port}}", member.name), &member.port.to_string());
        }
        text
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|member| member.name.as_str())
    }

    /// Starts all, one after the other, each when the one before listens. Blocks, until `halt` is set at the longest.
    ///
    /// # Errors
    /// [`ProcessError`] says which one does not start.
    pub fn start(&mut self, halt: &AtomicBool) -> Result<(), ProcessError> {
        for at in 0..self.members.len() {
            self.launch(at)?;
            self.await_listening(at, halt)?;
        }
        Ok(())
    }

    fn launch(&mut self, at: usize) -> Result<(), ProcessError> {
        let (out, err) = self.output(at)?;
        let member = &mut self.members[at];
        let mut command = Command::new("sh");
        command.args(["-c", &member.command]).stdin(Stdio::null()).stdout(out).stderr(err);
        // A group of its own: signals reach what the shell starts, and Ctrl-C reaches only us.
        command.process_group(0);
        member.child = Some(command.spawn().map_err(|source| failed(&member.name, "starting it", source))?);
        Ok(())
    }

    fn output(&self, at: usize) -> Result<(Stdio, Stdio), ProcessError> {
        let Some(logs) = &self.logs else { return Ok((Stdio::null(), Stdio::null())) };
        let name = &self.members[at].name;
        let open = || {
            std::fs::create_dir_all(logs)?;
            let file = File::options().create(true).append(true).open(logs.join(format!("{name}.log")))?;
            Ok((file.try_clone()?.into(), file.into()))
        };
        open().map_err(|source| failed(name, "opening its log", source))
    }

    fn await_listening(&mut self, at: usize, halt: &AtomicBool) -> Result<(), ProcessError> {
        let member = &mut self.members[at];
        if !member.listens {
            return Ok(());
        }
        let begun = self.clock.now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, member.port)).is_err() {
            let (name, port) = (member.name.clone(), member.port);
            if let Some(status) = member.child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                return Err(ProcessError::Ended { name, port, status: status.to_string() });
            }
            if self.clock.now().duration_since(begun) > STARTING {
                return Err(ProcessError::Silent { name, port });
            }
            if halt.load(Ordering::Relaxed) {
                return Err(ProcessError::Halted);
            }
            thread::sleep(GLANCE);
        }
        Ok(())
    }

    /// Sends a signal to a process and all that it has started.
    ///
    /// # Errors
    /// [`ProcessError::System`]: it has ended.
    pub fn signal(&mut self, name: &str, signal: Signal) -> Result<(), ProcessError> {
        let Some(member) = self.members.iter_mut().find(|member| member.name == name) else { return Ok(()) };
        let gone = || io::Error::new(io::ErrorKind::NotFound, "it is not running");
        let child = member.child.as_ref().ok_or_else(|| failed(name, "sending it a signal", gone()))?;
        kill_process_group(Pid::from_child(child), signal)
            .map_err(|errno| failed(name, "sending it a signal", errno.into()))?;
        if signal == Signal::KILL
            && let Some(mut child) = member.child.take()
        {
            child.wait().map_err(|source| failed(name, "awaiting its end", source))?;
        }
        Ok(())
    }

    /// Starts a process again; one that still runs is killed before.
    ///
    /// # Errors
    /// [`ProcessError`] where it cannot be started.
    pub fn restart(&mut self, name: &str) -> Result<(), ProcessError> {
        let Some(at) = self.members.iter().position(|member| member.name == name) else { return Ok(()) };
        if self.members[at].child.is_some() {
            self.signal(name, Signal::KILL)?;
        }
        self.launch(at)
    }

    /// Which processes have ended since the last look, without having been told to be killed, and how.
    pub fn ended(&mut self) -> Vec<(String, String)> {
        let mut ended = Vec::new();
        for member in &mut self.members {
            if let Some(status) = member.child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                // What it has left behind ends too.
                if let Some(child) = member.child.take() {
                    let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
                }
                ended.push((member.name.clone(), status.to_string()));
            }
        }
        ended
    }

    /// Asks all to end, the last one first, and ends those that do not. Blocks, for some seconds at most.
    pub fn stop(&mut self) {
        for member in self.members.iter_mut().rev() {
            let Some(mut child) = member.child.take() else { continue };
            let group = Pid::from_child(&child);
            // It may have ended already; one that is paused must go on to hear it.
            let _ = kill_process_group(group, Signal::TERM);
            let _ = kill_process_group(group, Signal::CONT);
            let begun = self.clock.now();
            while matches!(child.try_wait(), Ok(None)) && self.clock.now().duration_since(begun) < ENDING {
                thread::sleep(GLANCE);
            }
            let _ = kill_process_group(group, Signal::KILL);
            drop(child.wait());
        }
    }
}

impl Drop for Troupe {
    fn drop(&mut self) {
        self.stop();
    }
}

fn failed(name: &str, doing: &'static str, source: io::Error) -> ProcessError {
    ProcessError::System { name: name.to_owned(), doing, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn troupe(commands: &[&str]) -> Result<Troupe, ProcessError> {
        let orders: Result<Vec<Order>, ProcessError> = commands.iter().map(|text| order(text)).collect();
        Troupe::new(&orders?, None, &Clock::system())
    }

    #[test]
    fn what_names_no_process_is_refused() {
        for wrong in ["", "a", "a=", "=b", "a b=c", "a.b=c"] {
            assert!(order(wrong).is_err(), "{wrong}");
        }
        assert!(troupe(&["a=true", "a=false"]).is_err());
    }

    #[test]
    fn ports_are_filled_in_everywhere() {
        let troupe = troupe(&["a=serve {port} {b.port}", "b=serve {port} {a.port} {c.port}"]).unwrap();
        let (a, b) = (troupe.members[0].port, troupe.members[1].port);
        assert_ne!(a, b);
        assert_eq!(troupe.members[0].command, format!("serve {a} {b}"));
        assert_eq!(troupe.members[1].command, format!("serve {b} {a} {{c.port}}"));
        assert_eq!(troupe.filled("http://127.0.0.1:{b.port}/mcp"), format!("http://127.0.0.1:{b}/mcp"));
    }

    #[test]
    fn a_process_ends_with_all_that_it_has_started() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let mut troupe = troupe(&[&format!("a=sleep 1000 & echo $! > {}; wait", pid.display())]).unwrap();
        troupe.start(&AtomicBool::new(false)).unwrap();
        let child = loop {
            match std::fs::read_to_string(&pid) {
                Ok(text) if text.ends_with('\n') => break text.trim().to_owned(),
                _ => thread::sleep(GLANCE),
            }
        };
        let lives = || std::fs::read_to_string(format!("/proc/{child}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
        assert!(lives());
        drop(troupe);
        let begun = Clock::system();
        let since = begun.now();
        while lives() {
            assert!(begun.now().duration_since(since) < STARTING, "{child} lives on");
            thread::sleep(GLANCE);
        }
    }

    #[test]
    fn a_process_that_ends_at_once_is_named() {
        let mut troupe = troupe(&["a=exit 3; # {port}"]).unwrap();
        let error = troupe.start(&AtomicBool::new(false)).unwrap_err().to_string();
        assert!(error.contains("a ended before it listened") && error.contains("exit status: 3"), "{error}");
    }

    #[test]
    fn a_start_that_is_broken_off_leaves_nothing_behind() {
        let mut troupe = troupe(&["a=sleep 1000; # {port}"]).unwrap();
        assert!(matches!(troupe.start(&AtomicBool::new(true)), Err(ProcessError::Halted)));
    }

    #[test]
    fn ends_that_nobody_ordered_are_noticed_once() {
        let mut troupe = troupe(&["a=exit 1", "b=sleep 1000"]).unwrap();
        troupe.start(&AtomicBool::new(false)).unwrap();
        let ended = loop {
            let ended = troupe.ended();
            if !ended.is_empty() {
                break ended;
            }
            thread::sleep(GLANCE);
        };
        assert_eq!(ended, [("a".to_owned(), "exit status: 1".to_owned())]);
        troupe.signal("b", Signal::KILL).unwrap();
        assert!(troupe.ended().is_empty());
        assert!(troupe.signal("b", Signal::STOP).is_err());
        troupe.restart("b").unwrap();
        troupe.signal("b", Signal::STOP).unwrap();
    }
}
