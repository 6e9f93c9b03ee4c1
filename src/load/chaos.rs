//! Chaos by plan: which of the run's own processes is killed, paused or started again, and when. Reads the plan, and carries it out.

use std::time::Duration;

use rustix::process::Signal;

use super::process::Troupe;
use crate::config::parse_duration;

/// What is done to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// SIGKILL.
    Kill,
    /// SIGTERM.
    Term,
    /// SIGSTOP: it answers nothing, and its connections stay.
    Pause,
    /// SIGCONT.
    Resume,
    /// Started again.
    Restart,
}

/// One moment of chaos.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// When, from the run's start.
    pub at: Duration,
    /// What.
    pub deed: Deed,
    /// To whom.
    pub name: String,
}

impl Moment {
    /// What reports say of it.
    #[must_use]
    pub fn words(&self) -> String {
        let done = match self.deed {
            Deed::Kill => "killed",
            Deed::Term => "told to end",
            Deed::Pause => "paused",
            Deed::Resume => "resumed",
            Deed::Restart => "started again",
        };
        format!("{} {done}", self.name)
    }

    /// Does it. Blocks, for moments.
    ///
    /// # Errors
    /// What kept it from being done, for people.
    pub fn happen(&self, troupe: &mut Troupe) -> Result<(), String> {
        let done = match self.deed {
            Deed::Kill => troupe.signal(&self.name, Signal::KILL),
            Deed::Term => troupe.signal(&self.name, Signal::TERM),
            Deed::Pause => troupe.signal(&self.name, Signal::STOP),
            Deed::Resume => troupe.signal(&self.name, Signal::CONT),
            Deed::Restart => troupe.restart(&self.name),
        };
        done.map_err(|error| error.to_string())
    }
}

/// Reads a plan such as `kill:a@30s,restart@35s,pause:b@40s+2s`, for these processes and a run of that length.
///
/// # Errors
/// What is wrong with it.
pub fn chaos(text: &str, names: &[&str], duration: Duration) -> Result<Vec<Moment>, String> {
    let mut moments: Vec<Moment> = Vec::new();
    let mut last: Option<String> = None;
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let wrong = |what: &str| format!("{item:?} is no chaos: {what}");
        let (order, when) = item.split_once('@').ok_or_else(|| wrong("it has no moment; write kill:NAME@30s"))?;
        let (deed, name) = order.split_once(':').map_or((order, None), |(deed, name)| (deed, Some(name)));
        let name = name.map(str::to_owned).or_else(|| last.clone());
        let name = name.ok_or_else(|| wrong("it names no process; write kill:NAME@30s"))?;
        if !names.contains(&name.as_str()) {
            return Err(wrong(&format!("no process {name:?} is started; give --start {name}='COMMAND'")));
        }
        let (when, length) = when.split_once('+').map_or((when, None), |(when, length)| (when, Some(length)));
        let at = time(when).map_err(|why| wrong(&why))?;
        let length = length.map(time).transpose().map_err(|why| wrong(&why))?;
        let deed = deed_of(deed, length).map_err(|why| wrong(&why))?;
        let end = at + length.unwrap_or_default();
        if end >= duration {
            return Err(wrong(&format!("it comes after the run's end ({duration:?})")));
        }
        moments.push(Moment { at, deed, name: name.clone() });
        if let Some(length) = length {
            moments.push(Moment { at: at + length, deed: Deed::Resume, name: name.clone() });
        }
        last = Some(name);
    }
    moments.sort_by_key(|moment| moment.at);
    Ok(moments)
}

fn time(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| format!("{text:?} is no time; write 30s or 1m30s"))
}

fn deed_of(text: &str, length: Option<Duration>) -> Result<Deed, String> {
    match (text, length) {
        ("pause", Some(_)) => Ok(Deed::Pause),
        ("pause", None) => Err("a pause has a length; write pause:NAME@30s+2s".to_owned()),
        (_, Some(_)) => Err("only a pause has a length".to_owned()),
        ("kill", _) => Ok(Deed::Kill),
        ("term", _) => Ok(Deed::Term),
        ("restart", _) => Ok(Deed::Restart),
        _ => Err("kill, term, restart and pause can be done".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Moment>, String> {
        chaos(text, &["a", "b"], Duration::from_secs(60))
    }

    #[test]
    fn a_plan_is_read_and_put_in_order() {
        let plan = read("pause:b@40s+2s, kill:a@30s,restart@35s").unwrap();
        let said: Vec<_> = plan.iter().map(|moment| (moment.at.as_secs(), moment.words())).collect();
        let wanted = [(30, "a killed"), (35, "a started again"), (40, "b paused"), (42, "b resumed")];
        assert_eq!(said, wanted.map(|(at, words)| (at, words.to_owned())));
        assert_eq!(read(""), Ok(Vec::new()));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, part) in [
            ("kill:a", "it has no moment"),
            ("kill@5s", "it names no process"),
            ("kill:c@5s", "give --start c='COMMAND'"),
            ("kill:a@5", "\"5\" is no time"),
            ("kill:a@5s+1s", "only a pause has a length"),
            ("pause:a@5s", "a pause has a length"),
            ("pause:a@59s+1s", "after the run's end"),
            ("burn:a@5s", "kill, term, restart and pause"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(part) && error.starts_with('"'), "{text}: {error}");
        }
    }
}
