//! Sessions in one embedded file, for a lone instance that restarts and has lost nothing. The maps in
//! memory are the truth for reads; a change is acknowledged once its group commit is on the disk.
//! Shares nothing between processes: a directory belongs to one at a time.

mod file;
mod roster;
mod writer;

use std::collections::HashSet;
use std::future::{pending, ready};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub use file::OpenError;

use self::file::{Directory, Held, Home};
use self::writer::{Writer, WriterPace};
use super::map::Map;
use super::roster::memory::Memory;
use super::{
    Answer, Berth, BoxFuture, Claimed, Created, JournalEdit, KeyRing, Lease, Lookup, Moved, MoverId, Notice, Record,
    SealingKey, Seen, Sessions, StoreError, Sweep,
};
use crate::names::{Epoch, SessionId};

/// How long a touch may stay unwritten, and how long a broken disk is left alone before it is tried again.
const PACE: WriterPace = WriterPace { linger: Duration::from_secs(3), retry: Duration::from_secs(1) };

/// Sessions on disk. Dropping it writes what is left and waits for that.
#[derive(Debug)]
pub struct Disk {
    held: Arc<Held>,
    writer: Writer,
}

impl Disk {
    /// Opens or makes the store in a directory, which must exist, and reads all of it. Takes `limit` live sessions.
    /// Blocks while it reads; meant for the start of the process.
    ///
    /// # Errors
    /// [`OpenError`] says what is the matter with the directory or the file, and what can be done.
    pub fn open(directory: &Path, limit: usize) -> Result<Self, OpenError> {
        Self::open_home(Box::new(Directory::lock(directory)?), limit, PACE)
    }

    fn open_home(home: Box<dyn Home>, limit: usize, pace: WriterPace) -> Result<Self, OpenError> {
        let file = home.open()?;
        let mut map = Map::new(limit);
        let roster = Memory::with(file.load(&mut map)?);
        let held = Arc::new(Held { map, roster });
        let writer = Writer::start(Arc::clone(&held), home, file, pace)?;
        Ok(Self { held, writer })
    }

    /// Whether the last commit failed, and nothing is written until it is tried again.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.writer.ready().is_err()
    }

    /// Makes a change in the map and waits until what stands under the id then is on the disk. Also a change that
    /// changed nothing waits, for what it saw may be another's that is not written yet.
    async fn change<T>(
        &self,
        id: SessionId,
        make: impl FnOnce(&Map) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.writer.ready()?;
        let made = make(&self.held.map)?;
        self.writer.write([id]).await?;
        Ok(made)
    }

    async fn change_ring(&self, make: impl FnOnce(&Map) -> KeyRing) -> Result<KeyRing, StoreError> {
        self.writer.ready()?;
        let ring = make(&self.held.map);
        self.writer.write_ring().await?;
        Ok(ring)
    }
}

impl Sessions for Disk {
    fn keys(&self, offer: SealingKey) -> Answer<'_, KeyRing> {
        Box::pin(self.change_ring(|map| map.keys(offer)))
    }

    fn add_key(&self, key: SealingKey) -> Answer<'_, KeyRing> {
        Box::pin(self.change_ring(|map| map.add_key(key)))
    }

    fn create(&self, id: SessionId, record: Record) -> Answer<'_, Created> {
        Box::pin(self.change(id, move |map| map.create(id, record)))
    }

    fn load(&self, id: SessionId) -> Answer<'_, Lookup> {
        Box::pin(ready(Ok(self.held.map.load(id))))
    }

    fn moor(&self, id: SessionId, expected: Epoch, berth: Berth) -> Answer<'_, Moved> {
        Box::pin(self.change(id, move |map| map.moor(id, expected, berth)))
    }

    fn note(&self, id: SessionId, edit: JournalEdit) -> Answer<'_, bool> {
        Box::pin(self.change(id, move |map| map.note(id, edit)))
    }

    fn touch<'a>(&'a self, seen: &'a [Seen]) -> Answer<'a, Vec<(SessionId, Lookup)>> {
        Box::pin(async move {
            self.writer.write_later(self.held.map.touch(seen));
            Ok(self.held.map.news(seen))
        })
    }

    fn claim(&self, id: SessionId, expected: Epoch, lease: Lease) -> Answer<'_, Claimed> {
        Box::pin(async move { Ok(self.held.map.claim(id, expected, lease)) })
    }

    fn release(&self, id: SessionId, mover: MoverId) -> Answer<'_, ()> {
        Box::pin(async move {
            self.held.map.release(id, mover);
            Ok(())
        })
    }

    fn end(&self, id: SessionId, until: u64) -> Answer<'_, Option<Arc<Record>>> {
        Box::pin(self.change(id, move |map| {
            let was = map.end(id, until);
            self.writer.write_later(map.trim());
            Ok(was)
        }))
    }

    fn expire(&self, sweep: Sweep) -> Answer<'_, Vec<(SessionId, Arc<Record>)>> {
        Box::pin(async move {
            self.writer.ready()?;
            let swept = self.held.map.expire(&sweep);
            let ended: HashSet<_> = swept.ended.iter().map(|(id, _)| *id).collect();
            self.writer.write_later(swept.dropped);
            if !ended.is_empty() {
                self.writer.write(ended).await?;
            }
            Ok(swept.ended)
        })
    }

    fn census(&self) -> Answer<'_, Vec<(SessionId, Arc<Record>)>> {
        Box::pin(ready(Ok(self.held.map.census())))
    }

    fn count(&self) -> Answer<'_, usize> {
        Box::pin(ready(Ok(self.held.map.count())))
    }

    fn hear(&self) -> BoxFuture<'_, Notice> {
        Box::pin(pending())
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn is_away(&self) -> bool {
        false
    }

    fn flush(&self) -> Answer<'_, ()> {
        Box::pin(self.writer.flush())
    }

    fn adopt(&self, id: SessionId, record: Record) -> Answer<'_, Lookup> {
        Box::pin(self.change(id, move |map| map.adopt(id, record)))
    }
}

#[cfg(test)]
mod tests;
