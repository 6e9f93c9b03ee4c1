//! Sessions in this process's memory. Owns nothing but the map: a restart forgets them all.

use std::future::{pending, ready};
use std::sync::Arc;

use super::map::Map;
use super::{
    Answer, Berth, BoxFuture, Claimed, Created, DEFAULT_LIMIT, JournalEdit, KeyRing, Lease, Lookup, Moved, MoverId,
    Notice, Record, SealingKey, Seen, Sessions, Sweep,
};
use crate::names::{Epoch, SessionId};

/// Sessions in memory.
#[derive(Debug)]
pub struct Memory {
    map: Map,
}

impl Memory {
    /// An empty store that takes `limit` live sessions.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { map: Map::new(limit) }
    }
}

#[cfg(test)]
impl Memory {
    /// The map itself.
    pub(super) const fn map_for_tests(&self) -> &Map {
        &self.map
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(DEFAULT_LIMIT)
    }
}

impl Sessions for Memory {
    fn keys(&self, offer: SealingKey) -> Answer<'_, KeyRing> {
        Box::pin(async move { Ok(self.map.keys(offer)) })
    }

    fn add_key(&self, key: SealingKey) -> Answer<'_, KeyRing> {
        Box::pin(async move { Ok(self.map.add_key(key)) })
    }

    fn create(&self, id: SessionId, record: Record) -> Answer<'_, Created> {
        Box::pin(async move { self.map.create(id, record) })
    }

    fn load(&self, id: SessionId) -> Answer<'_, Lookup> {
        Box::pin(ready(Ok(self.map.load(id))))
    }

    fn moor(&self, id: SessionId, expected: Epoch, berth: Berth) -> Answer<'_, Moved> {
        Box::pin(async move { self.map.moor(id, expected, berth) })
    }

    fn note(&self, id: SessionId, edit: JournalEdit) -> Answer<'_, bool> {
        Box::pin(async move { self.map.note(id, edit) })
    }

    fn touch<'a>(&'a self, seen: &'a [Seen]) -> Answer<'a, Vec<(SessionId, Lookup)>> {
        Box::pin(async move {
            self.map.touch(seen);
            Ok(self.map.news(seen))
        })
    }

    fn claim(&self, id: SessionId, expected: Epoch, lease: Lease) -> Answer<'_, Claimed> {
        Box::pin(async move { Ok(self.map.claim(id, expected, lease)) })
    }

    fn release(&self, id: SessionId, mover: MoverId) -> Answer<'_, ()> {
        Box::pin(async move {
            self.map.release(id, mover);
            Ok(())
        })
    }

    fn end(&self, id: SessionId, until: u64) -> Answer<'_, Option<Arc<Record>>> {
        Box::pin(async move {
            let was = self.map.end(id, until);
            self.map.trim();
            Ok(was)
        })
    }

    fn expire(&self, sweep: Sweep) -> Answer<'_, Vec<(SessionId, Arc<Record>)>> {
        Box::pin(async move { Ok(self.map.expire(&sweep).ended) })
    }

    fn census(&self) -> Answer<'_, Vec<(SessionId, Arc<Record>)>> {
        Box::pin(ready(Ok(self.map.census())))
    }

    fn count(&self) -> Answer<'_, usize> {
        Box::pin(ready(Ok(self.map.count())))
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
        Box::pin(ready(Ok(())))
    }

    fn adopt(&self, id: SessionId, record: Record) -> Answer<'_, Lookup> {
        Box::pin(async move { self.map.adopt(id, record) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::StoreError;
    use crate::store::contract::{self, fresh};
    use crate::store::model::{self, Model};

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn memory_keeps_the_contract() {
        contract::suite(|| async { Arc::new(Memory::default()) as Arc<dyn Sessions> }).await;
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn memory_agrees_with_the_model(acts in model::acts(60)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(model::agree(&Memory::default(), &mut Model::default(), acts));
        }
    }

    #[tokio::test]
    async fn a_full_store_refuses_until_one_ends() {
        let store = Memory::new(2);
        assert_eq!(store.create(SessionId(1), fresh(5)).await.unwrap(), Created::Done);
        assert!(matches!(store.adopt(SessionId(2), fresh(5)).await.unwrap(), Lookup::Live(_)));
        let refused = store.create(SessionId(3), fresh(5)).await;
        assert!(matches!(refused, Err(StoreError::Full { limit: 2 })), "{refused:?}");
        let refused = store.adopt(SessionId(3), fresh(5)).await;
        assert!(matches!(refused, Err(StoreError::Full { limit: 2 })), "{refused:?}");
        assert!(matches!(store.adopt(SessionId(2), fresh(5)).await.unwrap(), Lookup::Live(_)), "it is there already");
        assert_eq!(store.create(SessionId(2), fresh(5)).await.unwrap(), Created::AlreadyExists);
        store.end(SessionId(1), 100).await.unwrap();
        assert_eq!(store.create(SessionId(3), fresh(5)).await.unwrap(), Created::Done);
    }

    #[tokio::test]
    async fn tombstones_beyond_the_limit_fall_in_their_order() {
        let store = Memory::new(2);
        for (id, until) in [(1, 300), (2, 100), (3, 200)] {
            store.end(SessionId(id), until).await.unwrap();
        }
        assert_eq!(store.load(SessionId(1)).await.unwrap(), Lookup::Ended);
        assert_eq!(store.load(SessionId(2)).await.unwrap(), Lookup::Unknown);
        assert_eq!(store.load(SessionId(3)).await.unwrap(), Lookup::Ended);
    }
}
