//! Who calls: a key, a token or a certificate becomes a [`Principal`], or it is said why not. Owns the keys of issuers, the
//! files of API keys, and a memory of tokens that were verified. It decides nothing of what a caller may do beyond the
//! scopes that all must have, and sends no response.

mod certificate;
mod date;
mod denied;
mod discover;
mod fetch;
mod follow;
mod gate;
mod identity;
mod jwt;
mod keyring;
mod keys;
mod label;
mod mint;
mod principal;
mod registry;
mod shown;
mod source;
mod token;

#[cfg(test)]
mod tests;

pub use certificate::{Certificate, MAX_NAMES};
pub use denied::{Denied, Flaw, KeyEnd, Oddity};
pub use gate::Gate;
pub use identity::{IDENTITY, IDENTITY_FIELDS, SignerError};
pub use keyring::{KeyEntry, KeyFileError};
pub use mint::{MintError, Minted, NewKey, append};
pub use principal::{ClaimValue, MAX_CLAIM, MAX_CLAIMS, MAX_SCOPES, MAX_VALUES, Principal, Validity};
pub use registry::{Gates, OpenError};
pub use source::SourceView;
