//! One connected server: sends it commands and says what came of them. Many requests share the connection; none waits for
//! another's answer. Sets no timeouts and makes no connection.

use std::sync::atomic::{AtomicU8, Ordering};

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, Value};

use super::dial::Address;
use super::trouble::Trouble;
use crate::tasks::Task;

/// One connected server.
#[derive(Debug)]
pub(super) struct Server {
    /// Where it listens.
    pub address: Address,
    connection: MultiplexedConnection,
    standing: AtomicU8,
    // Drives the connection; ends with the last who holds the server.
    _driver: Task,
}

/// What is thought of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Standing {
    /// It is not the right one, or cannot be: give it up.
    Condemned = 2,
    /// Somebody waited in vain: look whether it is alive.
    Suspect = 1,
    /// Nothing is known against it.
    Good = 0,
}

impl Server {
    /// A server that has just been connected to.
    pub fn new(address: Address, connection: MultiplexedConnection, driver: Task) -> Self {
        Self { address, connection, standing: AtomicU8::new(Standing::Good as u8), _driver: driver }
    }

    /// Asks for one thing.
    pub async fn one(&self, command: &Cmd) -> Result<Value, Trouble> {
        // A connection's handle is cheap to clone; asking needs one of its own.
        let answer = self.connection.clone().send_packed_command(command).await;
        self.read(answer)
    }

    /// Asks for one thing that lies in a slot which this server is taking over.
    pub async fn one_in_move(&self, command: Cmd) -> Result<Value, Trouble> {
        let mut answers = self.several([redis::cmd("ASKING"), command]).await?;
        answers.pop().unwrap_or(Err(Trouble::Odd("no answer")))
    }

    /// Asks for several things in one go; an answer for each, in their order.
    pub async fn several(
        &self,
        commands: impl IntoIterator<Item = Cmd>,
    ) -> Result<Vec<Result<Value, Trouble>>, Trouble> {
        let mut pipeline = Pipeline::new();
        commands.into_iter().for_each(|command| {
            pipeline.add_command(command);
        });
        let answers = self.connection.clone().send_packed_commands(&pipeline, 0, pipeline.len()).await;
        let answers = answers.map_err(|error| Trouble::read(error, self.address.host_port()))?;
        if answers.len() != pipeline.len() {
            return Err(Trouble::Odd("another number of answers than of requests"));
        }
        Ok(answers.into_iter().map(|answer| self.read(Ok(answer))).collect())
    }

    /// What is thought of it.
    pub fn standing(&self) -> Standing {
        match self.standing.load(Ordering::Relaxed) {
            0 => Standing::Good,
            1 => Standing::Suspect,
            _ => Standing::Condemned,
        }
    }

    /// Thinks worse of it, never better.
    pub fn lower(&self, standing: Standing) {
        self.standing.fetch_max(standing as u8, Ordering::Relaxed);
    }

    /// Forgets a suspicion that has turned out wrong.
    pub fn clear(&self) {
        let (suspect, good) = (Standing::Suspect as u8, Standing::Good as u8);
        let _ = self.standing.compare_exchange(suspect, good, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn read(&self, answer: Result<Value, redis::RedisError>) -> Result<Value, Trouble> {
        let error = match answer {
            Ok(Value::ServerError(error)) => error.into(),
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        Err(Trouble::read(error, self.address.host_port()))
    }
}
