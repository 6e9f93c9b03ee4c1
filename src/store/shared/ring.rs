//! The sealing keys of both sides: joined, never replaced, so that no id that was sealed by anybody becomes unreadable.

use super::pair::Pair;
use crate::store::far::Far;
use crate::store::{KeyRing, Notice, SealingKey, Sessions, StoreError};

impl Pair {
    /// The keys that are known here and there. While the store is away `offer` may become a provisional first key.
    pub async fn keys(&self, offer: SealingKey) -> Result<KeyRing, StoreError> {
        let known = self.near.map().ring().newest().cloned();
        let offer = known.unwrap_or(offer);
        match self.far.ask(self.store().keys(offer.clone())).await {
            Ok(theirs) => Ok(self.take_ring(&theirs)),
            Err(StoreError::Unavailable { .. }) => Ok(self.near.map().keys(offer)),
            Err(error) => Err(error),
        }
    }

    /// The keys that are known there, with those that are known here: not without the store.
    pub async fn agreed_keys(&self, offer: SealingKey) -> Result<KeyRing, StoreError> {
        let offer = self.near.map().ring().newest().cloned().unwrap_or(offer);
        let theirs = self.far.ask_at_length(self.store().keys(offer)).await?;
        Ok(self.take_ring(&theirs))
    }

    pub async fn add_key(&self, key: SealingKey) -> Result<KeyRing, StoreError> {
        match self.far.ask(self.store().add_key(key.clone())).await {
            Ok(theirs) => Ok(self.take_ring(&theirs)),
            Err(StoreError::Unavailable { .. }) => Ok(self.near.map().add_key(key)),
            Err(error) => Err(error),
        }
    }

    fn take_ring(&self, theirs: &KeyRing) -> KeyRing {
        self.near.map().take_keys(theirs.as_slice());
        let ours = self.near.map().ring();
        if ours != *theirs {
            self.doubt();
        }
        ours
    }

    /// Gives the store each key that it lacks, takes each that is lacking here, and tells the listener of those.
    pub async fn merge_rings(&self) -> Result<(), StoreError> {
        let ours = self.near.map().ring();
        let Some(newest) = ours.newest() else { return Ok(()) };
        let mut theirs = self.far.try_anyway(self.store().keys(newest.clone())).await?;
        for key in self.near.map().joined_with(&theirs).as_slice() {
            if theirs.find(key.id).is_none() {
                theirs = add(&self.far, key).await?;
            }
        }
        if self.near.map().take_keys(theirs.as_slice()) {
            self.notices.tell(Notice::Keys);
        }
        Ok(())
    }
}

async fn add(far: &Far<dyn Sessions>, key: &SealingKey) -> Result<KeyRing, StoreError> {
    far.try_anyway(far.store().add_key(key.clone())).await
}
