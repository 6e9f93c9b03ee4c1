//! Sealing: turns small secrets into URL-safe text that only holders of the key ring can read or make.
//! It knows nothing of what is sealed. AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce; one key may
//! seal 2^32 texts, which rotation stays far below.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The form of a sealed text: version, key id, nonce, then the ciphertext with its tag.
const VERSION: u8 = 1;
const HEAD: usize = 1 + 4 + NONCE_LEN;
const TAG: usize = 16;

/// What a sealed text is for. A text sealed for one purpose does not open for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Purpose {
    /// A client's session id.
    Session = 1,
    /// A server's `requestState`.
    RequestState = 2,
}

/// Why a text did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Not in the form that this module writes: somebody else's text.
    #[error("not a sealed text")]
    Foreign,
    /// In our form, but under a key that this ring does not hold.
    #[error("sealed under an unknown key")]
    UnknownKey,
    /// In our form and under a known key, but changed, or sealed for another purpose.
    #[error("the seal is broken")]
    Forged,
}

/// The system's source of secure randomness gave none.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("no secure randomness to be had from the system")]
pub struct NoRandomness;

/// The keys, newest first. The newest seals; all open.
pub struct Ring {
    keys: Vec<(u32, LessSafeKey)>,
}

impl Ring {
    /// A ring of the given keys, the sealing one first. A ring without keys opens nothing and cannot seal.
    #[must_use]
    pub fn new(keys: &[(u32, [u8; 32])]) -> Self {
        let keys = keys
            .iter()
            .filter_map(|(id, secret)| Some((*id, LessSafeKey::new(UnboundKey::new(&AES_256_GCM, secret).ok()?))))
            .collect();
        Self { keys }
    }

    /// Seals `plain` under the newest key.
    ///
    /// # Errors
    /// [`NoRandomness`] where the ring is empty or the system gives no nonce.
    pub fn seal(&self, purpose: Purpose, plain: &[u8]) -> Result<String, NoRandomness> {
        let (id, key) = self.keys.first().ok_or(NoRandomness)?;
        let mut text = Vec::with_capacity(HEAD + plain.len() + TAG);
        text.push(VERSION);
        text.extend_from_slice(&id.to_be_bytes());
        let nonce: [u8; NONCE_LEN] = random()?;
        text.extend_from_slice(&nonce);
        let mut secret = plain.to_vec();
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad(purpose, *id), &mut secret)
            .map_err(|_| NoRandomness)?;
        text.extend_from_slice(&secret);
        Ok(URL_SAFE_NO_PAD.encode(text))
    }

    /// Opens what [`Ring::seal`] made.
    ///
    /// # Errors
    /// See [`OpenError`]; which of them it was is for logs, a client hears the same for all.
    pub fn open(&self, purpose: Purpose, text: &str) -> Result<Vec<u8>, OpenError> {
        let mut bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| OpenError::Foreign)?;
        if bytes.len() < HEAD + TAG || bytes[0] != VERSION {
            return Err(OpenError::Foreign);
        }
        let id = u32::from_be_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]);
        let (_, key) = self.keys.iter().find(|(known, _)| *known == id).ok_or(OpenError::UnknownKey)?;
        let nonce = Nonce::try_assume_unique_for_key(&bytes[5..HEAD]).map_err(|_| OpenError::Foreign)?;
        let plain =
            key.open_in_place(nonce, aad(purpose, id), &mut bytes[HEAD..]).map_err(|_| OpenError::Forged)?.len();
        bytes.drain(..HEAD);
        bytes.truncate(plain);
        Ok(bytes)
    }

    /// Whether the ring can seal at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").field("keys", &self.keys.len()).finish()
    }
}

/// Secret randomness from the system.
///
/// # Errors
/// [`NoRandomness`] where the system gives none; nothing that needs a secret may go on then.
pub fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

/// The first `N` bytes of the SHA-256 of `parts`, each preceded by its length so that no two lists run together.
#[must_use]
pub fn digest<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let whole = context.finish();
    let mut first = [0; N];
    let length = N.min(whole.as_ref().len());
    first[..length].copy_from_slice(&whole.as_ref()[..length]);
    first
}

fn aad(purpose: Purpose, key: u32) -> Aad<[u8; 6]> {
    let id = key.to_be_bytes();
    Aad::from([VERSION, purpose as u8, id[0], id[1], id[2], id[3]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ring(ids: &[u32]) -> Ring {
        Ring::new(&ids.iter().map(|id| (*id, [u8::try_from(*id).unwrap_or(0); 32])).collect::<Vec<_>>())
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens(plain in proptest::collection::vec(any::<u8>(), 0..300)) {
            let text = ring(&[1]).seal(Purpose::Session, &plain).unwrap();
            prop_assert_eq!(ring(&[2, 1]).open(Purpose::Session, &text).unwrap(), plain);
        }

        #[test]
        fn any_changed_bit_breaks_the_seal(plain in proptest::collection::vec(any::<u8>(), 0..80), at in any::<usize>(), bit in 0..8_u8) {
            let text = ring(&[1]).seal(Purpose::Session, &plain).unwrap();
            let mut bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            prop_assert!(ring(&[1]).open(Purpose::Session, &URL_SAFE_NO_PAD.encode(bytes)).is_err());
        }

        #[test]
        fn any_text_is_refused_without_panic(text in ".{0,300}") {
            prop_assert!(ring(&[1]).open(Purpose::Session, &text).is_err());
        }
    }

    #[test]
    fn a_text_opens_only_for_its_purpose_and_under_its_key() {
        let text = ring(&[1]).seal(Purpose::RequestState, b"x").unwrap();
        assert_eq!(ring(&[1]).open(Purpose::Session, &text), Err(OpenError::Forged));
        assert_eq!(ring(&[2]).open(Purpose::RequestState, &text), Err(OpenError::UnknownKey));
        assert_eq!(Ring::new(&[(1, [9; 32])]).open(Purpose::RequestState, &text), Err(OpenError::Forged));
    }

    #[test]
    fn digests_keep_their_parts_apart() {
        assert_ne!(digest::<16>(&[b"ab", b"c"]), digest::<16>(&[b"a", b"bc"]));
    }
}
