//! `moorline serve`: one instance until it is told to stop.

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use super::{ServeArgs, complain};
use crate::app::{App, Followed, follow, follow_certificates};
use crate::clock::Clock;
use crate::config::{Config, ConfigError};
use crate::log::Log;
use crate::tasks;

/// Serves until SIGTERM or Ctrl-C, then drains.
pub fn serve(args: &ServeArgs) -> anyhow::Result<()> {
    let followed = args.config.as_deref().map(Followed::from_now);
    let config = match &args.config {
        Some(path) => Config::load(path)?,
        None => Config::quick(args.listen.as_deref(), args.admin.as_deref(), &args.backend, args.store.as_deref())
            .map_err(ConfigError::Faults)?,
    };
    let log = Log::start(&config.log, &Clock::system());
    for line in config.warnings.lines() {
        tracing::warn!("{line}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(run(config, log, followed))
}

async fn run(config: Config, log: Log, followed: Option<Followed>) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for signals")?;
    let app = App::start(config, log, Box::new(|_| {})).await?;
    tracing::info!(listen = ?app.addrs(), admin = ?app.admin_addr(), "serving");
    let reloads = followed.map(|file| tasks::spawn("reload", follow(app.clone(), file)));
    let certificates = tasks::spawn("certificates", follow_certificates(app.clone()));
    // Without a file there is nothing to load anew; SIGHUP must not end the program then either.
    let mut hangup = signal(SignalKind::hangup()).context("cannot listen for signals")?;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => app.reopen_access_log(),
        }
    }
    drop((reloads, certificates));
    tokio::select! {
        () = app.drain() => {}
        // A second signal is somebody in a hurry.
        _ = terminate.recv() => complain(&anyhow::anyhow!("stopped before the drain was done")),
        _ = interrupt.recv() => complain(&anyhow::anyhow!("stopped before the drain was done")),
    }
    Ok(())
}
