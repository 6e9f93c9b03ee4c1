//! A text that is looked for again and again. It is prepared once: to prepare it takes longer than to look through a short message.
//! Finds bytes, and knows nothing of what they mean.

use std::sync::LazyLock;

use memchr::memmem::Finder;

/// A text that is looked for again and again; stands in a `static`.
pub struct Needle(LazyLock<Finder<'static>>);

/// Makes the finder of a text that is known when the program is built.
type Make = fn() -> Finder<'static>;

impl Needle {
    /// A needle that is prepared when it is first looked for.
    #[must_use]
    pub const fn new(make: Make) -> Self {
        Self(LazyLock::new(make))
    }

    /// Whether it stands in there.
    #[must_use]
    pub fn is_in(&self, text: &[u8]) -> bool {
        self.0.find(text).is_some()
    }

    /// Where it stands in there, each time.
    pub fn each_in<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
        self.0.find_iter(text)
    }
}

/// Declares needles: `needle!(NAME = b"text")`.
macro_rules! needle {
    ($($(#[$about:meta])* $name:ident = $text:expr);+ $(;)?) => {
        $($(#[$about])* static $name: $crate::mcp::needle::Needle =
            $crate::mcp::needle::Needle::new(|| memchr::memmem::Finder::new($text));)+
    };
}

pub(crate) use needle;

#[cfg(test)]
mod tests {
    needle!(WORD = b"word");

    #[test]
    fn it_is_found_wherever_it_stands() {
        assert!(WORD.is_in(b"a word or two") && WORD.is_in(b"word") && !WORD.is_in(b"wor") && !WORD.is_in(b""));
        assert_eq!(WORD.each_in(b"word, sword").collect::<Vec<_>>(), [0, 7]);
    }
}
