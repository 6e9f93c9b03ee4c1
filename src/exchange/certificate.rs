//! What a client's certificate says, once it has been verified: facts for whoever decides who is asking and what they may do.
//! It verifies nothing, and reads no certificate itself.

use std::time::SystemTime;

/// Names of one kind that are remembered of a certificate; further ones are left out.
pub const MAX_NAMES: usize = 32;

/// A client's certificate. It was signed by an authority that the configuration trusts, and was valid, when the connection began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The subject as text (RFC 4514 §2), such as `CN=deploy,O=Example`. Empty where all names stand in the extension.
    pub subject: Box<str>,
    /// The most specific common name in the subject.
    pub common_name: Option<Box<str>>,
    /// DNS names in the subject's alternative names (RFC 5280 §4.2.1.6), in their order, at most [`MAX_NAMES`].
    pub dns: Box<[Box<str>]>,
    /// URIs there, SPIFFE ids for instance, at most [`MAX_NAMES`].
    pub uris: Box<[Box<str>]>,
    /// Mail addresses there, at most [`MAX_NAMES`].
    pub emails: Box<[Box<str>]>,
    /// Who signed it, as text (RFC 4514 §2).
    pub issuer: Box<str>,
    /// SHA-256 of the whole certificate.
    pub fingerprint: [u8; 32],
    /// It is not valid after this time.
    pub not_after: SystemTime,
}
