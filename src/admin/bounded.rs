//! How long an operator waits: for a store or a server that does not answer, as for one that does.

use std::time::Duration;

use super::problem::Problem;

/// How long the answer to a question may take.
pub const LIMIT: Duration = Duration::from_secs(5);

/// What `work` gives, if it gives it in time.
pub async fn in_time<T>(work: impl Future<Output = T>) -> Result<T, Problem> {
    let late = |_| Problem::away("store_away", "the store did not answer in time; try again");
    tokio::time::timeout(LIMIT, work).await.map_err(late)
}
