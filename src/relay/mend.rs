//! What becomes of a stream whose backend is lost: the rest of it is asked for elsewhere, underneath the client's open stream.
//! How, whoever owns the walk says; here is only what the stream sees of it.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Sent;
use crate::exchange::Lesson;
use crate::reject::Cause;
use crate::sweep::ticks;

/// How long it may take to find out whether a backend whose connection broke is still there.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A server says nothing on a new connection: whatever can be read within this time is its end.
const LOOK_TWICE: Duration = Duration::from_millis(100);

/// How often a stream is mended that is lost again within [`SHORT`].
const MOST_MENDS: u32 = 3;

/// A stream that lasts for so long has been mended well.
const SHORT: Duration = Duration::from_secs(2);

/// Asks for the rest of a stream elsewhere. It is told the id of the last event that the client has, as the client knows it.
pub type Mend = Box<dyn Fn(Option<Box<str>>) -> Mending + Send + Sync>;

/// The rest of a stream, or why there is none.
pub type Mended = Result<(Sent, Option<Lesson>), Cause>;

/// A stream is being mended.
pub type Mending = Pin<Box<dyn Future<Output = Mended> + Send>>;

/// How often a stream was mended of late.
#[derive(Debug, Default)]
pub(super) struct Mends {
    /// Those that did not last.
    in_a_row: u32,
    /// The tick of the last one.
    pub last: u32,
}

impl Mends {
    /// Whether it may be mended once more. One that stands may for ever, if only each mend lasts.
    pub fn may(&self, tick: u32, standing: bool) -> bool {
        self.in_a_row < MOST_MENDS || standing && self.has_lasted(tick)
    }

    pub fn begin(&mut self, tick: u32, standing: bool) {
        self.in_a_row = if standing && self.has_lasted(tick) { 1 } else { self.in_a_row + 1 };
    }

    fn has_lasted(&self, tick: u32) -> bool {
        tick.wrapping_sub(self.last) >= ticks(SHORT)
    }
}

/// Whether somebody takes connections there, and keeps them: a process that is just dying may still take one.
pub(super) async fn is_there(addr: SocketAddr) -> bool {
    let Ok(Ok(connection)) = timeout(LOOK_AGAIN, TcpStream::connect(addr)).await else { return false };
    timeout(LOOK_TWICE, connection.readable()).await.is_err()
}
