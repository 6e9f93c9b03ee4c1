//! The chunked transfer coding (RFC 9112 §7.1), decoded in place and incrementally. Pure: bytes in, bytes out.
//! All data of one read becomes one contiguous run, however many chunks it came in. Extensions and trailers are
//! checked, bounded and dropped.

use std::ops::Range;

use super::error::Fault;

/// Longest size line, extensions included, in bytes.
const MAX_LINE: u16 = 1024;
/// Longest trailer section in bytes.
const MAX_TRAILER: u16 = 16 * 1024;

/// What one step of decoding made of its input.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decoded {
    /// Where in the input the decoded data now lies.
    pub(super) data: Range<usize>,
    /// How much of the input belonged to the body; less than all only at its end.
    pub(super) consumed: usize,
    /// Whether the body has ended.
    pub(super) done: bool,
}

/// Where the decoder stands between two bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the digits of a size; `digits` says whether there was one.
    Size {
        digits: bool,
    },
    /// Whitespace after the size, where only an extension may follow.
    AfterSize,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the start of a trailer line, or of the empty line that ends the body.
    LineStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    Done,
}

/// An incremental decoder for one body.
#[derive(Debug)]
pub(super) struct Chunked {
    state: State,
    /// The size being read, or the data left of the current chunk.
    left: u64,
    /// Bytes of the current size line.
    line: u16,
    /// Bytes of the trailer section.
    trailer: u16,
}

impl Chunked {
    pub(super) const fn new() -> Self {
        Self { state: State::Size { digits: false }, left: 0, line: 0, trailer: 0 }
    }

    /// Decodes `input`, moving its data together. To be fed what follows `consumed`, in order.
    pub(super) fn decode(&mut self, input: &mut [u8]) -> Result<Decoded, Fault> {
        let mut data = 0..0;
        let mut at = 0;
        while at < input.len() && self.state != State::Done {
            if self.state == State::Data {
                let run = self.run(input.len() - at);
                if data.is_empty() {
                    data = at..at + run;
                } else {
                    input.copy_within(at..at + run, data.end);
                    data.end += run;
                }
                at += run;
            } else {
                self.step(input[at])?;
                at += 1;
            }
        }
        Ok(Decoded { data, consumed: at, done: self.state == State::Done })
    }

    /// Takes as much of the current chunk's data as there is.
    fn run(&mut self, there: usize) -> usize {
        let run = usize::try_from(self.left).map_or(there, |left| left.min(there));
        self.left -= run as u64;
        if self.left == 0 {
            self.state = State::DataCr;
        }
        run
    }

    fn step(&mut self, byte: u8) -> Result<(), Fault> {
        self.state = match self.state {
            State::Size { .. } | State::AfterSize | State::Extension | State::SizeLf => self.size_line(byte)?,
            State::DataCr if byte == b'\r' => State::DataLf,
            State::DataLf if byte == b'\n' => {
                self.line = 0;
                State::Size { digits: false }
            }
            State::LineStart | State::TrailerName | State::TrailerValue | State::TrailerLf | State::EndLf => {
                self.trailer_line(byte)?
            }
            State::Data | State::DataCr | State::DataLf | State::Done => return Err(Fault::ChunkEnd),
        };
        Ok(())
    }

    fn size_line(&mut self, byte: u8) -> Result<State, Fault> {
        self.line += 1;
        if self.line > MAX_LINE {
            return Err(Fault::ChunkLineTooLong);
        }
        match (self.state, byte) {
            (State::SizeLf, b'\n') if self.left == 0 => Ok(State::LineStart),
            (State::SizeLf, b'\n') => Ok(State::Data),
            (State::Size { digits: true } | State::AfterSize | State::Extension, b'\r') => Ok(State::SizeLf),
            (State::Size { digits: true } | State::AfterSize, b' ' | b'\t') => Ok(State::AfterSize),
            (State::Size { digits: true } | State::AfterSize, b';') => Ok(State::Extension),
            (State::Extension, b'\n') => Err(Fault::BareLf),
            (State::Extension, byte) if is_text(byte) => Ok(State::Extension),
            (State::Size { .. }, byte) => self.digit(byte),
            _ => Err(Fault::ChunkSize),
        }
    }

    fn digit(&mut self, byte: u8) -> Result<State, Fault> {
        let value = char::from(byte).to_digit(16).ok_or(Fault::ChunkSize)?;
        // The top nibble must be free: an overflow would let the peer hide data from the next reader.
        if self.left >> 60 != 0 {
            return Err(Fault::ChunkSize);
        }
        self.left = self.left << 4 | u64::from(value);
        Ok(State::Size { digits: true })
    }

    fn trailer_line(&mut self, byte: u8) -> Result<State, Fault> {
        self.trailer += 1;
        if self.trailer > MAX_TRAILER {
            return Err(Fault::TrailerTooLarge);
        }
        match (self.state, byte) {
            (State::EndLf, b'\n') => Ok(State::Done),
            (State::TrailerLf, b'\n') => Ok(State::LineStart),
            (State::LineStart, b'\r') => Ok(State::EndLf),
            (State::TrailerName, b':') => Ok(State::TrailerValue),
            (State::TrailerValue, b'\r') => Ok(State::TrailerLf),
            (State::LineStart | State::TrailerName, byte) if is_token(byte) => Ok(State::TrailerName),
            (State::TrailerValue, byte) if is_text(byte) => Ok(State::TrailerValue),
            _ => Err(Fault::Trailer),
        }
    }
}

/// A byte of a field value or an extension (RFC 9110 §5.5): tab, visible or obs-text.
const fn is_text(byte: u8) -> bool {
    byte == b'\t' || byte >= b' ' && byte != 0x7f
}

/// A byte of a token (RFC 9110 §5.6.2).
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}
