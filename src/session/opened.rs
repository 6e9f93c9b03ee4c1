//! The session ids that this thread has opened of late: to open one costs more than all else that is done to find its session, and a
//! client sends the same one with each request. What an id says depends on its text and on the keys alone, so nothing here can be
//! out of date. It judges nothing: whether the claim is good for a request is asked each time.

use std::cell::RefCell;
use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::DefaultHashBuilder;

use super::Claim;
use crate::seal::{OpenError, Ring};

/// Ids that a thread remembers at most; each takes about 400 bytes. One that falls on the place of another takes it.
const PLACES: usize = 1024;

/// An id that was opened.
struct Opened {
    /// The whole digest is compared before the text: how long the comparison of two texts takes could tell of the other's letters.
    digest: u64,
    text: Box<str>,
    ring: Arc<Ring>,
    claim: Arc<Claim>,
}

/// What one thread remembers.
#[derive(Default)]
struct Remembered {
    /// Keyed anew in each thread.
    hasher: DefaultHashBuilder,
    places: Vec<Option<Opened>>,
}

thread_local! {
    static REMEMBERED: RefCell<Remembered> = RefCell::default();
}

/// Opens a session id, or remembers what it said under these keys.
///
/// # Errors
/// See [`OpenError`].
pub fn open(text: &str, ring: &Arc<Ring>) -> Result<Arc<Claim>, OpenError> {
    REMEMBERED.with_borrow_mut(|remembered| remembered.open(text, ring))
}

impl Remembered {
    fn open(&mut self, text: &str, ring: &Arc<Ring>) -> Result<Arc<Claim>, OpenError> {
        let digest = self.hasher.hash_one(text);
        let at = usize::try_from(digest % PLACES as u64).unwrap_or_default();
        if let Some(Some(known)) = self.places.get(at)
            && known.digest == digest
            && *known.text == *text
            && Arc::ptr_eq(&known.ring, ring)
        {
            return Ok(Arc::clone(&known.claim));
        }
        let claim = Arc::new(Claim::open(text, ring)?);
        if self.places.is_empty() {
            self.places.resize_with(PLACES, || None);
        }
        self.places[at] = Some(Opened { digest, text: text.into(), ring: Arc::clone(ring), claim: Arc::clone(&claim) });
        Ok(claim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{BackendId, CallerDigest, PoolId, SessionId};
    use crate::session::token::Packed;

    fn ring(ids: &[u32]) -> Arc<Ring> {
        Arc::new(Ring::new(&ids.iter().map(|id| (*id, [7; 32])).collect::<Vec<_>>()))
    }

    fn claim(number: u128) -> Claim {
        Claim {
            session: SessionId(number),
            caller: CallerDigest::ANYBODY,
            pool: PoolId(1),
            issued: 1,
            backend: BackendId(1),
            backend_session: Packed::new("x"),
        }
    }

    /// Ten times as many as there are places, so that most fall on others' places, and each is asked for twice.
    #[test]
    fn each_id_says_what_it_says_however_many_there_are() {
        let ring = ring(&[1]);
        let texts: Vec<String> = (0..10 * PLACES as u128).map(|number| claim(number).seal(&ring).unwrap()).collect();
        let mut remembered = Remembered::default();
        for (number, text) in texts.iter().enumerate().chain(texts.iter().enumerate()) {
            let opened = remembered.open(text, &ring).unwrap();
            assert_eq!(*opened, claim(number as u128));
            assert!(Arc::ptr_eq(&opened, &remembered.open(text, &ring).unwrap()), "it is remembered");
        }
        assert_eq!(remembered.places.len(), PLACES);
    }

    #[test]
    fn an_id_does_not_outlive_its_key() {
        let (before, after) = (ring(&[1]), ring(&[2]));
        let text = claim(1).seal(&before).unwrap();
        assert!(open(&text, &before).is_ok());
        assert_eq!(open(&text, &after), Err(OpenError::UnknownKey));
        assert!(open(&text, &before).is_ok());
        let (start, last) = text.split_at(text.len() - 1);
        let forged = format!("{start}{}", if last == "A" { "B" } else { "A" });
        assert!(open(&forged, &before).is_err());
    }
}
