//! Following the configuration file: on SIGHUP and whenever its content changes. A bad file is refused, with everything
//! that is wrong in it, and the old configuration stays.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::App;
use crate::admin::{NotReloaded, ReloadOrder, Reloaded};
use crate::config::{Config, ConfigError};
use crate::notice::{LOOK, SETTLE, directory_of, watch};

/// A configuration file that is followed.
#[derive(Debug)]
pub struct Followed {
    path: PathBuf,
    /// What it held when it was last read.
    known: Vec<u8>,
}

impl Followed {
    /// The file as it is now. Asked for before the file is read for the start: a change between the two costs a second reading,
    /// and is not missed.
    #[must_use]
    pub fn from_now(path: &Path) -> Self {
        Self { path: path.to_owned(), known: std::fs::read(path).unwrap_or_default() }
    }
}

/// Follows the file for ever.
pub async fn follow(app: Arc<App>, Followed { path, mut known }: Followed) {
    let (tell, mut changed) = mpsc::channel::<()>(1);
    // The first look needs no notice: the file may have changed since the start.
    let _ = tell.try_send(());
    let watching = watch(directory_of(&path), vec![path.clone()], tell);
    if let Err(error) = &watching {
        tracing::warn!(%error, "no notice of changes to the configuration file; it is looked at now and then");
    }
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
    let mut orders = app.reloads.follow();
    loop {
        let wish = tokio::select! {
            _ = hangup.recv() => Wish::Signal,
            Some(order) = orders.recv() => Wish::Order(order),
            Some(()) = changed.recv() => {
                tokio::time::sleep(SETTLE).await;
                Wish::Look
            }
            () = tokio::time::sleep(LOOK) => Wish::Look,
        };
        let now = std::fs::read(&path).unwrap_or_default();
        if !matches!(wish, Wish::Look) || (now != known && !now.is_empty()) {
            known = now;
            let done = reload(&app, &path).await;
            if let Wish::Order(order) = wish {
                // Whoever has ordered it may have gone.
                drop(order.answer.send(done));
            }
        }
    }
}

/// What somebody wants of the file.
enum Wish {
    /// To see whether it has changed.
    Look,
    /// That it be read.
    Signal,
    /// The same, and to hear what came of it.
    Order(ReloadOrder),
}

async fn reload(app: &App, path: &Path) -> Result<Reloaded, NotReloaded> {
    match Config::load(path) {
        Ok(config) => app.reload(config).await,
        Err(ConfigError::Faults(faults)) => {
            app.shared.certificates.readings.refused.increment();
            for line in faults.lines() {
                tracing::error!(fault = %line, "the new configuration is refused, the old one stays");
            }
            Err(NotReloaded::Faults(faults))
        }
        Err(error) => {
            tracing::error!(%error, "the new configuration cannot be read, the old one stays");
            Err(NotReloaded::Unreadable(error))
        }
    }
}
