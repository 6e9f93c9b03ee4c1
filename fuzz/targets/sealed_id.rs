//! Sealed texts: whatever a client sends, opening refuses it or gives back exactly what was sealed, and never panics.
//! The first byte says where a good text is damaged.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moorline_fuzz::seal::{OpenError, Purpose, Ring};

fuzz_target!(|input: &[u8]| {
    let ring = Ring::new(&[(7, [7; 32]), (3, [3; 32])]);
    if let Ok(text) = std::str::from_utf8(input) {
        assert!(ring.open(Purpose::Session, text).is_err(), "opened what was never sealed");
    }
    let [at, plain @ ..] = input else { return };
    let Ok(sealed) = ring.seal(Purpose::Session, plain) else { return };
    assert_eq!(ring.open(Purpose::Session, &sealed).as_deref(), Ok(plain));
    assert_eq!(ring.open(Purpose::RequestState, &sealed), Err(OpenError::Forged));
    let mut damaged = sealed.clone().into_bytes();
    let at = usize::from(*at) % damaged.len();
    damaged[at] = if damaged[at] == b'A' { b'B' } else { b'A' };
    let Ok(damaged) = String::from_utf8(damaged) else { return };
    // The last character may carry bits that no byte takes up; the decoder refuses those, and so is every change seen.
    assert!(ring.open(Purpose::Session, &damaged).is_err());
});
