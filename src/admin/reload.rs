//! The order to read the configuration file anew, as SIGHUP does; what was wrong with it is told in full. Who follows the file
//! carries it out.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use http::StatusCode;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use super::Admin;
use super::problem::{Flaw, Problem};
use crate::config::{ConfigError, Fault, Faults};

/// How long a reload is waited for: it looks names of backends up.
const PATIENCE: Duration = Duration::from_secs(20);

pub fn routes() -> Router<Arc<Admin>> {
    Router::new().route("/api/v1/reload", post(reload))
}

/// The way to whoever follows the configuration file, if anybody does.
#[derive(Clone, Debug, Default)]
pub struct Reloads(Arc<ArcSwapOption<mpsc::Sender<Order>>>);

/// An order to read the configuration file anew.
#[derive(Debug)]
pub struct Order {
    /// Where to tell what came of it.
    pub answer: oneshot::Sender<Result<Reloaded, NotReloaded>>,
}

/// What came of a reload that was done.
#[derive(Clone, Debug, Default)]
pub struct Reloaded {
    /// Keys whose change is in force only after a restart.
    pub needs_restart: Vec<&'static str>,
    /// What is allowed but worth a second look.
    pub warnings: Faults,
}

/// Why the old configuration stays.
#[derive(Debug, thiserror::Error)]
pub enum NotReloaded {
    /// The file has faults.
    #[error("the configuration file has faults; the old configuration stays")]
    Faults(Faults),
    /// There is no such file, or it cannot be read.
    #[error("the configuration file cannot be read; the old configuration stays")]
    Unreadable(#[source] ConfigError),
    /// What it names cannot be used: files of certificates or keys.
    #[error("what the configuration file names cannot be used; the old configuration stays")]
    Unusable(#[source] Box<dyn Error + Send + Sync>),
}

impl Reloads {
    /// The orders, for whoever follows the file from now on.
    #[must_use]
    pub fn follow(&self) -> mpsc::Receiver<Order> {
        let (tell, orders) = mpsc::channel(1);
        self.0.store(Some(Arc::new(tell)));
        orders
    }

    async fn order(&self) -> Result<Reloaded, Problem> {
        let Some(way) = self.0.load_full() else {
            let words = "this instance was started without a configuration file";
            return Err(Problem::new(StatusCode::CONFLICT, "no_file", words));
        };
        let (answer, done) = oneshot::channel();
        if way.try_send(Order { answer }).is_err() {
            return Err(Problem::away("reloading", "other reloads are under way; try again"));
        }
        let late = "the reload takes long; the log will say what came of it";
        let done = tokio::time::timeout(PATIENCE, done).await;
        done.ok().and_then(Result::ok).ok_or_else(|| Problem::away("reloading", late))?.map_err(refusal)
    }
}

#[derive(Serialize)]
struct Done {
    needs_restart: Vec<&'static str>,
    warnings: Vec<Flaw>,
}

async fn reload(State(admin): State<Arc<Admin>>) -> Result<Json<Done>, Problem> {
    let reloaded = admin.reloads.order().await?;
    Ok(Json(Done { needs_restart: reloaded.needs_restart, warnings: flaws(&reloaded.warnings) }))
}

fn refusal(why: NotReloaded) -> Problem {
    let words = in_full(&why);
    let refused = |reason| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, reason, words);
    match why {
        NotReloaded::Faults(faults) => refused("faults").with(flaws(&faults)),
        NotReloaded::Unreadable(_) => refused("unreadable"),
        NotReloaded::Unusable(_) => refused("unusable"),
    }
}

/// An error with all that has led to it.
fn in_full(error: &(dyn Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |error| (*error).source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn flaws(faults: &Faults) -> Vec<Flaw> {
    let flaw = |(line, column, fault): (usize, usize, &Fault)| Flaw {
        code: fault.code.as_str(),
        detail: fault.message.clone(),
        line,
        column,
        help: fault.help.clone(),
    };
    faults.places().map(flaw).collect()
}
