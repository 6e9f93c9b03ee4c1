//! Following the configuration file: on SIGHUP and whenever its content changes. A bad file is refused, with everything
//! that is wrong in it, and the old configuration stays.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::App;
use crate::config::{Config, ConfigError};
use crate::notice::{LOOK, SETTLE, watch};

/// Follows the file at `path` for ever.
pub async fn follow(app: Arc<App>, path: PathBuf) {
    let (tell, mut changed) = mpsc::channel::<()>(1);
    let watching = watch(&path, tell);
    if let Err(error) = &watching {
        tracing::warn!(%error, "no notice of changes to the configuration file; it is looked at now and then");
    }
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
    let mut known = std::fs::read(&path).unwrap_or_default();
    loop {
        let forced = tokio::select! {
            _ = hangup.recv() => true,
            Some(()) = changed.recv() => {
                tokio::time::sleep(SETTLE).await;
                false
            }
            () = tokio::time::sleep(LOOK) => false,
        };
        let now = std::fs::read(&path).unwrap_or_default();
        if forced || (now != known && !now.is_empty()) {
            known = now;
            reload(&app, &path).await;
        }
    }
}

async fn reload(app: &App, path: &Path) {
    match Config::load(path) {
        Ok(config) => app.reload(config).await,
        Err(ConfigError::Faults(faults)) => {
            app.shared.certificates.readings.refused.increment();
            for line in faults.lines() {
                tracing::error!(fault = %line, "the new configuration is refused, the old one stays");
            }
        }
        Err(error) => {
            app.shared.certificates.readings.refused.increment();
            tracing::error!(%error, "the new configuration cannot be read, the old one stays");
        }
    }
}
