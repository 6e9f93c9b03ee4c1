//! The canonical form, by which cached results are told apart: whatever is fed, it never panics; what serde_json takes for the
//! same value has the same form; and a string or number in its place has another one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moorline_fuzz::mcp::canonical;
use moorline_fuzz::mcp::raw;

fn digest(text: &str) -> Option<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    canonical::feed(text, &mut hasher).ok()?;
    Some(*hasher.finalize().as_bytes())
}

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Some(whole) = digest(text) else { return };
    // In an array, and with space around: still the same value, and another one than the bare value.
    assert_eq!(digest(&format!(" [ {text} ] ")), digest(&format!("[{text}]")));
    assert_ne!(digest(&format!("[{text}]")), Some(whole));
    // Members in another order.
    if let Some(members) = raw::entries(text) {
        let member = |(key, value): &(String, &str)| format!("{}:{value}", raw::quote(key));
        let turned: Vec<String> = members.iter().rev().map(member).collect();
        assert_eq!(digest(&format!("{{{}}}", turned.join(" , "))), Some(whole));
        let less: Vec<String> = members.iter().skip(1).map(member).collect();
        if !members.is_empty() {
            assert_ne!(digest(&format!("{{{}}}", less.join(","))), Some(whole));
        }
    }
    // Strings by their code points, however they are escaped.
    if let Ok(serde_json::Value::String(value)) = serde_json::from_str(text) {
        let escaped: String = value.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        assert_eq!(digest(&format!("\"{escaped}\"")), Some(whole));
        assert_ne!(digest(&value), Some(whole));
    }
    // Numbers by their value: a zero more behind the point, or another exponent, changes nothing.
    let is_plain = raw::is_number(text.trim_ascii()) && !text.contains(['e', 'E', '.']);
    if is_plain {
        let number = text.trim_ascii();
        assert_eq!(digest(&format!("{number}.0")), Some(whole));
        if number.trim_start_matches('-') != "0" {
            assert_eq!(digest(&format!("{number}0e-1")), Some(whole));
        }
        assert_ne!(digest(&format!("\"{number}\"")), Some(whole));
    }
});
