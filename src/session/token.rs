//! The client's session id: what is sealed in it. Knows the bytes, not the store.
//!
//! Layout, big-endian: session 16, caller 16, pool 4, issued 5, backend 8, then the backend's own id: a form byte
//! and 16 bytes (32 hex digits, or a UUID), or up to [`LONGEST_INLINE`] bytes as they are. A longer one stays in the store.
//! With its seal the id is at most 200 characters.

use crate::names::{BackendId, CallerDigest, Epoch, PoolId, SessionId};
use crate::seal::{NoRandomness, OpenError, Purpose, Ring};
use crate::store::Berth;

/// The longest session id of a backend that still fits into ours, in bytes.
pub const LONGEST_INLINE: usize = 64;

const FIXED: usize = 16 + 16 + 4 + 5 + 8;

/// What a session id says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The session's name.
    pub session: SessionId,
    /// Whom it was given to.
    pub caller: CallerDigest,
    /// The pool that it is good for.
    pub pool: PoolId,
    /// When it was minted, in seconds since 1970.
    pub issued: u64,
    /// The backend at the time of minting.
    pub backend: BackendId,
    /// The backend's own session id, unless it was too long.
    pub backend_session: Packed,
}

/// A backend's session id, packed; most requests never need it unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed(Vec<u8>);

/// How the backend's own id is packed.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Form {
    Hex = 1,
    Uuid = 2,
    Plain = 3,
    InStore = 4,
}

impl Claim {
    /// The id's text.
    ///
    /// # Errors
    /// [`NoRandomness`] where the system gives none.
    pub fn seal(&self, ring: &Ring) -> Result<String, NoRandomness> {
        let mut plain = Vec::with_capacity(FIXED + 1 + LONGEST_INLINE);
        plain.extend_from_slice(&self.session.0.to_be_bytes());
        plain.extend_from_slice(&self.caller.0);
        plain.extend_from_slice(&self.pool.0.to_be_bytes());
        plain.extend_from_slice(&self.issued.to_be_bytes()[3..]);
        plain.extend_from_slice(&self.backend.0.to_be_bytes());
        plain.extend_from_slice(&self.backend_session.0);
        ring.seal(Purpose::Session, &plain)
    }

    /// Reads an id.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(text: &str, ring: &Ring) -> Result<Self, OpenError> {
        let plain = ring.open(Purpose::Session, text)?;
        let mut rest = plain.as_slice();
        let claim = Self {
            session: SessionId(u128::from_be_bytes(take(&mut rest)?)),
            caller: CallerDigest(take(&mut rest)?),
            pool: PoolId(u32::from_be_bytes(take(&mut rest)?)),
            issued: {
                let [a, b, c, d, e] = take::<5>(&mut rest)?;
                u64::from_be_bytes([0, 0, 0, a, b, c, d, e])
            },
            backend: BackendId(u64::from_be_bytes(take(&mut rest)?)),
            backend_session: Packed(rest.to_vec()),
        };
        Ok(claim)
    }

    /// The berth that the id itself tells of, where the backend's own id was short enough.
    #[must_use]
    pub fn berth(&self) -> Option<Berth> {
        let backend_session = self.backend_session.unpack()?;
        Some(Berth { backend: self.backend, backend_session, epoch: Epoch(0) })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], OpenError> {
    let (first, after) = rest.split_first_chunk::<N>().ok_or(OpenError::Foreign)?;
    *rest = after;
    Ok(*first)
}

impl Packed {
    /// Packs an id; one that is too long stays in the store.
    #[must_use]
    pub fn new(id: &str) -> Self {
        if id.len() > LONGEST_INLINE {
            return Self(vec![Form::InStore as u8]);
        }
        let (form, bytes) = match compact(id) {
            Some((form, number)) => (form, number.to_be_bytes().to_vec()),
            None => (Form::Plain, id.as_bytes().to_vec()),
        };
        Self([vec![form as u8], bytes].concat())
    }

    /// The id; none where it stays in the store.
    #[must_use]
    pub fn unpack(&self) -> Option<Box<str>> {
        let (form, rest) = self.0.split_first()?;
        let number = || rest.try_into().map(u128::from_be_bytes).ok();
        let text = match *form {
            form if form == Form::Hex as u8 => expand(Form::Hex, number()?),
            form if form == Form::Uuid as u8 => expand(Form::Uuid, number()?),
            form if form == Form::Plain as u8 => std::str::from_utf8(rest).ok()?.to_owned(),
            _ => return None,
        };
        Some(text.into())
    }
}

/// Ids of the official SDKs are 32 hex digits or a UUID, in lower case: half the length.
fn compact(id: &str) -> Option<(Form, u128)> {
    let form = match id.len() {
        32 => Form::Hex,
        36 => Form::Uuid,
        _ => return None,
    };
    let number = u128::from_str_radix(&id.replace('-', ""), 16).ok()?;
    (expand(form, number) == id).then_some((form, number))
}

fn expand(form: Form, number: u128) -> String {
    let hex = format!("{number:032x}");
    match form {
        Form::Uuid => format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]),
        Form::Hex | Form::Plain | Form::InStore => hex,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ring() -> Ring {
        Ring::new(&[(7, [7; 32])])
    }

    fn claim(backend_session: &str) -> Claim {
        Claim {
            session: SessionId(42),
            caller: CallerDigest([3; 16]),
            pool: PoolId(9),
            issued: 1_800_000_000,
            backend: BackendId(u64::MAX),
            backend_session: Packed::new(backend_session),
        }
    }

    proptest! {
        #[test]
        fn what_is_claimed_comes_back(id in "[!-~]{1,64}|[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9A-F]{32}|\\+[0-9a-f]{31}") {
            let text = claim(&id).seal(&ring()).unwrap();
            prop_assert!(text.len() <= 200, "{} characters", text.len());
            let opened = Claim::open(&text, &ring()).unwrap();
            let unpacked = opened.backend_session.unpack();
            prop_assert_eq!(unpacked.as_deref(), Some(&*id));
            prop_assert_eq!(opened, claim(&id));
        }

        #[test]
        fn a_long_id_stays_in_the_store(id in "[!-~]{65,256}") {
            let text = claim(&id).seal(&ring()).unwrap();
            prop_assert!(text.len() <= 200);
            prop_assert_eq!(Claim::open(&text, &ring()).unwrap().backend_session.unpack(), None);
        }
    }
}
