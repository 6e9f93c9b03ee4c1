//! The scenario: clients come to an endpoint one after another, each proves that its session stays on one server,
//! and some do what sessions are for: progress, an elicitation, a subscription. It judges what it saw. It starts
//! nothing: the endpoint may be Moorline or a server of its own.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::{self, Write};
use std::pin::Pin;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::Uri;
use thiserror::Error;
use tokio::sync::{mpsc, watch};

use super::board::{Board, Style, paint};
use super::visitor::{VisitError, Visitor};

/// The most clients that a scenario takes: more would not fit the picture.
pub const MAX_CLIENTS: usize = 60;

/// What the clients are called; further ones get a number.
const NAMES: [&str; 12] = ["Ada", "Ben", "Cleo", "Dora", "Emil", "Fay", "Gus", "Hana", "Ivo", "Joan", "Kim", "Lars"];

/// Steps of the slow call, and how long each takes.
const STEPS: u32 = 5;
const STEP: Duration = Duration::from_millis(300);

/// How often each session counts.
const COUNTS: u64 = 3;

/// How long the finished picture stands before the clients leave.
const LOOK: Duration = Duration::from_millis(1200);

/// News that wait to be shown.
const NEWS_ROOM: usize = 64;

/// What a scenario is to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many clients come: at least 1, at most [`MAX_CLIENTS`].
    pub clients: usize,
    /// The names of the servers that stand behind the endpoint, as far as they are known. With two or more,
    /// sessions that all lie on one count as a fault.
    pub servers: Vec<String>,
    /// The time between two clients, and between two things that a client does.
    pub pace: Duration,
    /// What the output can do.
    pub style: Style,
}

/// Why a scenario failed.
#[derive(Debug, Error)]
pub enum ScenarioError {
    /// What was seen is not what ought to be; the output says what.
    #[error("the scenario failed, faults: {0}")]
    Faults(usize),
    /// The output could not be written.
    #[error("cannot write")]
    Output(#[from] io::Error),
}

/// What a scenario saw.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// The clients of each server, in the order in which they came.
    pub moored: BTreeMap<String, Vec<String>>,
    /// What went right, in sentences.
    pub proofs: Vec<String>,
    /// What went wrong, in sentences.
    pub faults: Vec<String>,
}

/// What one client is there for, beside counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Count,
    Slow,
    AskName,
    Watch,
}

/// What a client has to tell while it visits.
enum News {
    Moored { client: String, server: String },
    Note { client: String, note: String },
    Did { client: String, what: String },
    Done { client: String, end: Result<(), StoryError> },
}

/// Why a client's story went wrong.
#[derive(Debug, Error)]
enum StoryError {
    #[error(transparent)]
    Visit(#[from] VisitError),
    #[error("counted {found} where {wanted} was due: its session lost its server")]
    Count { found: u64, wanted: u64 },
    #[error("was moored at {first}, then answered by {later}")]
    Moved { first: String, later: String },
    #[error("heard {heard} of {STEPS} progress notifications")]
    Progress { heard: u32 },
    #[error("was greeted with {greeting:?}")]
    Greeting { greeting: String },
}

type Story<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Plays the scenario against `endpoint` and shows it on `out`: the picture while it runs, then a summary.
///
/// # Errors
/// [`ScenarioError::Faults`] where anything was not as it ought to be, [`ScenarioError::Output`] where `out` fails.
pub async fn run(endpoint: &Uri, plan: &Plan, out: &mut (dyn Write + Send)) -> Result<Summary, ScenarioError> {
    let clients = plan.clients.clamp(1, MAX_CLIENTS);
    let mut board = Board::new(out, plan.style, &plan.servers);
    board.refresh()?;
    let summary = play(endpoint, clients, plan.pace, &mut board).await?;
    board.finish()?;
    let judged = judge(summary, plan);
    report(&judged, clients, &mut board)?;
    if judged.faults.is_empty() { Ok(judged) } else { Err(ScenarioError::Faults(judged.faults.len())) }
}

/// Runs the stories side by side, shows their news, and sends the clients home when the last has told its end.
async fn play(endpoint: &Uri, clients: usize, pace: Duration, board: &mut Board<'_>) -> io::Result<Summary> {
    let (tell, mut news) = mpsc::channel(NEWS_ROOM);
    let (close, closing) = watch::channel(false);
    let mut stories: FuturesUnordered<Story<'_>> = FuturesUnordered::new();
    for place in 0..clients {
        let teller = Teller { client: name(place), news: tell.clone(), pace, closing: closing.clone() };
        stories.push(Box::pin(teller.live(endpoint, part(place, clients), place)));
    }
    let mut summary = Summary::default();
    let mut waiting = clients;
    let mut home: Option<Pin<Box<tokio::time::Sleep>>> = None;
    loop {
        tokio::select! {
            Some(one) = news.recv() => {
                waiting -= usize::from(matches!(one, News::Done { .. }));
                show(one, board, &mut summary)?;
                if waiting == 0 && home.is_none() {
                    home = Some(Box::pin(tokio::time::sleep(LOOK)));
                }
            }
            ended = stories.next() => if ended.is_none() { break },
            () = async { if let Some(look) = &mut home { look.await } }, if home.is_some() && !*close.borrow() => {
                close.send_replace(true);
            }
        }
    }
    // Who never came in has told why and gone; that may still wait to be read.
    while let Ok(one) = news.try_recv() {
        show(one, board, &mut summary)?;
    }
    Ok(summary)
}

/// Brings one piece of news into the picture and the summary.
fn show(news: News, board: &mut Board<'_>, summary: &mut Summary) -> io::Result<()> {
    match news {
        News::Moored { client, server } => {
            board.moor(&client, &server);
            let line = format!("{client:<8} is moored at {}", board.server_name(&server));
            summary.moored.entry(server).or_default().push(client);
            board.say(&line)
        }
        News::Note { client, note } => {
            board.note(&client, &note);
            board.refresh()
        }
        News::Did { client, what } => {
            board.say(&format!("{client:<8} {what}"))?;
            summary.proofs.push(format!("{client} {what}"));
            Ok(())
        }
        News::Done { end: Ok(()), .. } => Ok(()),
        News::Done { client, end: Err(error) } => {
            let line = format!("{client:<8} {error}");
            board.say(&board.style().paint(paint::RED, &line))?;
            summary.faults.push(format!("{client} {error}"));
            Ok(())
        }
    }
}

/// One client's side of the scenario.
struct Teller {
    client: String,
    news: mpsc::Sender<News>,
    pace: Duration,
    closing: watch::Receiver<bool>,
}

impl Teller {
    async fn live(mut self, endpoint: &Uri, part: Part, place: usize) {
        let turn = u32::try_from(place).unwrap_or(u32::MAX);
        tokio::time::sleep(self.pace.saturating_mul(turn)).await;
        match Visitor::connect(endpoint, &self.client).await {
            Ok(mut visitor) => {
                let end = self.story(&mut visitor, part).await;
                self.tell(News::Done { client: self.client.clone(), end }).await;
                let _closed = self.closing.wait_for(|closing| *closing).await.is_ok();
                visitor.leave().await;
            }
            Err(error) => self.tell(News::Done { client: self.client.clone(), end: Err(error.into()) }).await,
        }
    }

    async fn story(&self, visitor: &mut Visitor, part: Part) -> Result<(), StoryError> {
        let first = visitor.whoami().await?;
        self.tell(News::Moored { client: self.client.clone(), server: first.clone() }).await;
        for wanted in 1..=COUNTS {
            tokio::time::sleep(self.pace).await;
            let found = visitor.count().await?;
            if found != wanted {
                return Err(StoryError::Count { found, wanted });
            }
            self.note(format!("{found}")).await;
            if wanted + 1 == COUNTS {
                self.act(visitor, part).await?;
            }
        }
        let later = visitor.whoami().await?;
        if later == first { Ok(()) } else { Err(StoryError::Moved { first, later }) }
    }

    async fn act(&self, visitor: &mut Visitor, part: Part) -> Result<(), StoryError> {
        match part {
            Part::Count => Ok(()),
            Part::Slow => self.be_patient(visitor).await,
            Part::AskName => {
                self.note("is asked".to_owned()).await;
                let greeting = visitor.ask_name().await?;
                if greeting != format!("hello {}", self.client) {
                    return Err(StoryError::Greeting { greeting });
                }
                self.did(format!("was asked for a name and heard {greeting:?}")).await;
                Ok(())
            }
            Part::Watch => {
                self.note("listens".to_owned()).await;
                visitor.watch().await?;
                self.did("subscribed to demo://counter and heard it change".to_owned()).await;
                Ok(())
            }
        }
    }

    async fn be_patient(&self, visitor: &mut Visitor) -> Result<(), StoryError> {
        let news = self.news.clone();
        let client = self.client.clone();
        let heard = visitor
            .slow(STEPS, STEP, |step| {
                let note = format!("slow {step}/{STEPS}");
                // The picture may miss a step; the count does not.
                let _full = news.try_send(News::Note { client: client.clone(), note });
            })
            .await?;
        if heard != STEPS {
            return Err(StoryError::Progress { heard });
        }
        self.did(format!("waited for a slow call and heard all {STEPS} steps of its progress")).await;
        Ok(())
    }

    async fn note(&self, note: String) {
        self.tell(News::Note { client: self.client.clone(), note }).await;
    }

    async fn did(&self, what: String) {
        self.tell(News::Did { client: self.client.clone(), what }).await;
    }

    async fn tell(&self, news: News) {
        // The receiver outlives every story, but for a scenario that is being dropped.
        let _dropped = self.news.send(news).await;
    }
}

fn name(place: usize) -> String {
    let name = NAMES[place % NAMES.len()];
    match place / NAMES.len() {
        0 => name.to_owned(),
        again => format!("{name}-{}", again + 1),
    }
}

/// The second, third and fourth client have a part of their own; with fewer clients, the last ones.
fn part(place: usize, clients: usize) -> Part {
    let shift = 4_usize.saturating_sub(clients);
    match place + shift {
        1 => Part::Slow,
        2 => Part::AskName,
        3 => Part::Watch,
        _ => Part::Count,
    }
}

/// Adds what follows from the whole.
fn judge(mut summary: Summary, plan: &Plan) -> Summary {
    let sessions: usize = summary.moored.values().map(Vec::len).sum();
    if summary.faults.is_empty() {
        let each = (1..=COUNTS).map(|count| count.to_string()).collect::<Vec<_>>().join(", ");
        summary.proofs.insert(0, format!("each session counted {each} on one server and stayed there"));
    }
    match summary.moored.len() {
        used if used > 1 => summary.proofs.insert(0, format!("{sessions} sessions spread over {used} servers")),
        _ if plan.servers.len() > 1 && sessions > 1 => {
            summary.faults.push(format!("all {sessions} sessions lie on one server of {}", plan.servers.len()));
        }
        _ => {}
    }
    summary
}

fn report(summary: &Summary, clients: usize, board: &mut Board<'_>) -> io::Result<()> {
    let style = board.style();
    let width = summary.moored.keys().map(|name| name.chars().count()).max().unwrap_or(0).max("server".len());
    board.say("")?;
    board.say(&style.paint(paint::BOLD, &format!("  {:width$}  sessions  clients", "server")))?;
    for (server, guests) in &summary.moored {
        let name = board.server_name(server);
        let pad = " ".repeat(width.saturating_sub(server.chars().count()));
        board.say(&format!("  {name}{pad}  {:>8}  {}", guests.len(), guests.join(", ")))?;
    }
    board.say("")?;
    for proof in &summary.proofs {
        board.say(&format!("  {}    {proof}", style.paint(paint::GREEN, "ok")))?;
    }
    for fault in &summary.faults {
        board.say(&format!("  {}  {fault}", style.paint(paint::RED, "FAIL")))?;
    }
    let end = match summary.faults.len() {
        0 => format!("all well: {clients} clients came, none lost its session"),
        1 => "1 fault".to_owned(),
        faults => format!("{faults} faults"),
    };
    board.say("")?;
    board.say(&format!("  {}", style.paint(paint::BOLD, &end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(servers: usize) -> Plan {
        let servers = (1..=servers).map(|number| format!("pier-{number}")).collect();
        Plan { clients: 2, servers, pace: Duration::ZERO, style: Style::PLAIN }
    }

    fn seen(moored: &[(&str, &[&str])]) -> Summary {
        let moored = moored
            .iter()
            .map(|(server, clients)| ((*server).to_owned(), clients.iter().map(|one| (*one).to_owned()).collect()));
        Summary { moored: moored.collect(), ..Summary::default() }
    }

    #[test]
    fn every_part_is_played_from_three_clients_on() {
        for clients in 3..=MAX_CLIENTS {
            for wanted in [Part::Slow, Part::AskName, Part::Watch] {
                let players = (0..clients).filter(|&place| part(place, clients) == wanted).count();
                assert_eq!(players, 1, "{wanted:?} with {clients} clients");
            }
        }
    }

    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<String> = (0..MAX_CLIENTS).map(name).collect();
        assert_eq!(names.len(), MAX_CLIENTS);
    }

    #[test]
    fn sessions_on_one_server_of_several_are_a_fault() {
        let judged = judge(seen(&[("pier-1", &["Ada", "Ben"])]), &plan(3));
        assert_eq!(judged.faults, ["all 2 sessions lie on one server of 3"]);
    }

    #[test]
    fn sessions_on_the_only_server_are_not() {
        assert!(judge(seen(&[("pier-1", &["Ada", "Ben"])]), &plan(1)).faults.is_empty());
    }

    #[test]
    fn spread_sessions_are_a_proof() {
        let judged = judge(seen(&[("pier-1", &["Ada"]), ("pier-2", &["Ben"])]), &plan(3));
        assert!(judged.faults.is_empty());
        assert_eq!(judged.proofs[0], "2 sessions spread over 2 servers");
    }
}
