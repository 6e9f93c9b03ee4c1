//! Sessions, timed.

use std::sync::Arc;

use super::Measured;
use crate::names::{Epoch, SessionId};
use crate::store::{
    Answer, Berth, BoxFuture, Claimed, Created, JournalEdit, KeyRing, Lease, Lookup, Moved, MoverId, Notice, Record,
    SealingKey, Seen, Sessions, Sweep,
};

impl<S: Sessions + ?Sized> Sessions for Measured<S> {
    fn keys(&self, offer: SealingKey) -> Answer<'_, KeyRing> {
        Box::pin(self.pulse.time("keys", self.store.keys(offer)))
    }

    fn add_key(&self, key: SealingKey) -> Answer<'_, KeyRing> {
        Box::pin(self.pulse.time("add_key", self.store.add_key(key)))
    }

    fn create(&self, id: SessionId, record: Record) -> Answer<'_, Created> {
        Box::pin(self.pulse.time("create", self.store.create(id, record)))
    }

    fn load(&self, id: SessionId) -> Answer<'_, Lookup> {
        Box::pin(self.pulse.time("load", self.store.load(id)))
    }

    fn moor(&self, id: SessionId, expected: Epoch, berth: Berth) -> Answer<'_, Moved> {
        Box::pin(self.pulse.time("moor", self.store.moor(id, expected, berth)))
    }

    fn note(&self, id: SessionId, edit: JournalEdit) -> Answer<'_, bool> {
        Box::pin(self.pulse.time("note", self.store.note(id, edit)))
    }

    fn touch<'a>(&'a self, seen: &'a [Seen]) -> Answer<'a, Vec<(SessionId, Lookup)>> {
        Box::pin(self.pulse.time("touch", self.store.touch(seen)))
    }

    fn claim(&self, id: SessionId, expected: Epoch, lease: Lease) -> Answer<'_, Claimed> {
        Box::pin(self.pulse.time("claim", self.store.claim(id, expected, lease)))
    }

    fn release(&self, id: SessionId, mover: MoverId) -> Answer<'_, ()> {
        Box::pin(self.pulse.time("release", self.store.release(id, mover)))
    }

    fn end(&self, id: SessionId, until: u64) -> Answer<'_, Option<Arc<Record>>> {
        Box::pin(self.pulse.time("end", self.store.end(id, until)))
    }

    fn expire(&self, sweep: Sweep) -> Answer<'_, Vec<(SessionId, Arc<Record>)>> {
        Box::pin(self.pulse.time("expire", self.store.expire(sweep)))
    }

    fn census(&self) -> Answer<'_, Vec<(SessionId, Arc<Record>)>> {
        Box::pin(self.pulse.time("census", self.store.census()))
    }

    fn count(&self) -> Answer<'_, usize> {
        Box::pin(self.pulse.time("count", self.store.count()))
    }

    /// Waiting for others is no operation.
    fn hear(&self) -> BoxFuture<'_, Notice> {
        self.store.hear()
    }

    fn is_shared(&self) -> bool {
        self.store.is_shared()
    }

    fn is_away(&self) -> bool {
        self.store.is_away()
    }

    fn flush(&self) -> Answer<'_, ()> {
        Box::pin(self.pulse.time("flush", self.store.flush()))
    }

    fn adopt(&self, id: SessionId, record: Record) -> Answer<'_, Lookup> {
        Box::pin(self.pulse.time("adopt", self.store.adopt(id, record)))
    }
}
