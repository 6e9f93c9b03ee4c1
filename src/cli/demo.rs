//! `moorline demo`: gives the demo a real instance to put before its sample servers.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::DemoArgs;
use crate::app::{App, Watcher};
use crate::clock::Clock;
use crate::config::{AccessLog, Config, LogFormat, LogLevel, LogSettings};
use crate::demo::board::{Colour, Style};
use crate::demo::{DemoEvent, DemoOptions, Gateway, GatewayError, demo as play};
use crate::log::Log;
use crate::session::Event;

/// Events that wait to be shown at most; further ones are not shown.
const MOST_WAITING: usize = 256;

/// Plays the demo until Ctrl-C, or to the scenario's end.
pub fn demo(args: &DemoArgs) -> anyhow::Result<()> {
    let settings = LogSettings { level: LogLevel::Error, format: LogFormat::Text, access: AccessLog::Off };
    let log = Log::start(&settings, &Clock::system());
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let options = DemoOptions {
        servers: args.servers,
        scenario: args.scenario,
        clients: args.clients,
        listen: args.listen,
        style: Style::of_stdout(if plain { Colour::Never } else { Colour::Auto }),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
        let interrupt = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        };
        let listen = args.listen;
        play(&options, &mut std::io::stdout(), interrupt, |backends| start(listen, log, backends)).await?;
        Ok(())
    })
}

async fn start(listen: Option<SocketAddr>, log: Log, backends: Vec<String>) -> Result<Gateway, GatewayError> {
    let listen = listen.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let mut config = Config::quick(Some(&listen.to_string()), Some("off"), &backends, None)?;
    config.log.access = AccessLog::Off;
    let (tell, events) = mpsc::channel(MOST_WAITING);
    let watcher: Watcher = Box::new(move |event| {
        // What cannot be shown at once is not shown: the demo must not hold a session up.
        drop(tell.try_send(translate(event)));
    });
    let app = App::start(config, log, watcher).await?;
    let addr = app.addrs().first().copied().ok_or("no address to listen on")?;
    let endpoint = format!("http://{addr}/mcp").parse()?;
    let stop = Arc::clone(&app);
    Ok(Gateway { endpoint, events, stop: Box::pin(async move { stop.drain().await }) })
}

fn translate(event: &Event) -> DemoEvent {
    let short = |session: &crate::names::SessionId| session.to_string()[..8].to_owned();
    match event {
        Event::Opened { session, backend, client } => DemoEvent::SessionOpened {
            session: short(session),
            backend: format!("http://{backend}"),
            client: client.to_string(),
        },
        Event::Moved { session, to, .. } => {
            DemoEvent::SessionMoved { session: short(session), backend: format!("http://{to}") }
        }
        Event::Ended { session, .. } => DemoEvent::SessionEnded { session: short(session) },
    }
}
