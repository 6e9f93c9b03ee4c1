//! The picture in the terminal: which session is moored at which server. On a terminal it stays at the foot of the
//! screen and changes as news comes in; elsewhere the news are plain lines and the picture is left out.

use std::io::{self, IsTerminal, Write};

/// Whether the output may be coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Colour {
    /// On a terminal, yes.
    #[default]
    Auto,
    /// Never, as `NO_COLOR` asks for (no-color.org).
    Never,
}

/// What may be done with the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Lines may be drawn over.
    pub live: bool,
    /// Colours may be used.
    pub colour: bool,
}

impl Style {
    /// No colours, nothing drawn over: for files and pipes.
    pub const PLAIN: Self = Self { live: false, colour: false };

    /// What standard output can do.
    #[must_use]
    pub fn of_stdout(colour: Colour) -> Self {
        let live = io::stdout().is_terminal();
        Self { live, colour: live && colour == Colour::Auto }
    }

    /// `text` in an SGR colour or weight, such as `1` for bold, or as it is.
    #[must_use]
    pub fn paint(self, code: u8, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// SGR codes of the words that the output uses.
pub mod paint {
    /// Titles.
    pub const BOLD: u8 = 1;
    /// What matters less.
    pub const DIM: u8 = 2;
    /// What went wrong.
    pub const RED: u8 = 31;
    /// What went right.
    pub const GREEN: u8 = 32;
    /// The servers, in turn.
    pub const SERVERS: [u8; 5] = [36, 33, 35, 34, 32];
}

/// One session in the picture.
#[derive(Clone, Debug)]
struct Moored {
    client: String,
    server: usize,
    /// What it is about: its count, or what it waits for.
    note: String,
}

/// The picture and the output that it is drawn on.
pub struct Board<'a> {
    out: &'a mut (dyn Write + Send),
    style: Style,
    servers: Vec<String>,
    moored: Vec<Moored>,
    finished: bool,
    /// Lines of the picture that now stands on the screen.
    drawn: usize,
}

impl<'a> Board<'a> {
    /// An empty picture of `servers`; others are added as they are heard of.
    pub fn new(out: &'a mut (dyn Write + Send), style: Style, servers: &[String]) -> Self {
        Self { out, style, servers: servers.to_vec(), moored: Vec::new(), finished: false, drawn: 0 }
    }

    /// The output's style.
    #[must_use]
    pub const fn style(&self) -> Style {
        self.style
    }

    /// Shows that `client` lies at `server`.
    pub fn moor(&mut self, client: &str, server: &str) {
        let server = self.server(server);
        self.moored.retain(|one| one.client != client);
        self.moored.push(Moored { client: client.to_owned(), server, note: String::new() });
    }

    /// Shows what `client` is about.
    pub fn note(&mut self, client: &str, note: &str) {
        if let Some(one) = self.moored.iter_mut().find(|one| one.client == client) {
            note.clone_into(&mut one.note);
        }
    }

    /// The server's name in its colour.
    pub fn server_name(&mut self, name: &str) -> String {
        let place = self.server(name);
        self.style.paint(paint::SERVERS[place % paint::SERVERS.len()], name)
    }

    /// Prints a line above the picture.
    ///
    /// # Errors
    /// Those of the output.
    pub fn say(&mut self, line: &str) -> io::Result<()> {
        let picture = self.picture();
        let mut text = self.erase();
        text.push_str(line);
        text.push('\n');
        self.draw(text, &picture)
    }

    /// Draws the picture as it is now, where it can be drawn over.
    ///
    /// # Errors
    /// Those of the output.
    pub fn refresh(&mut self) -> io::Result<()> {
        let picture = self.picture();
        let text = self.erase();
        self.draw(text, &picture)
    }

    /// Takes the picture off the screen for good; lines may still be printed.
    ///
    /// # Errors
    /// Those of the output.
    pub fn finish(&mut self) -> io::Result<()> {
        self.finished = true;
        self.refresh()
    }

    fn draw(&mut self, mut text: String, picture: &[String]) -> io::Result<()> {
        if self.style.live && !self.finished {
            // Without line wrap a narrow window cannot throw off the count of lines.
            text.push_str("\u{1b}[?7l");
            for line in picture {
                text.push_str(line);
                text.push('\n');
            }
            text.push_str("\u{1b}[?7h");
            self.drawn = picture.len();
        }
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// What takes the picture off the screen.
    fn erase(&mut self) -> String {
        match std::mem::take(&mut self.drawn) {
            0 => String::new(),
            lines => format!("\u{1b}[{lines}A\r\u{1b}[J"),
        }
    }

    fn server(&mut self, name: &str) -> usize {
        if let Some(place) = self.servers.iter().position(|known| known == name) {
            return place;
        }
        self.servers.push(name.to_owned());
        self.servers.len() - 1
    }

    fn picture(&self) -> Vec<String> {
        let width = self.servers.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        let mut lines = vec![String::new()];
        for (place, name) in self.servers.iter().enumerate() {
            let colour = paint::SERVERS[place % paint::SERVERS.len()];
            let head = self.style.paint(colour, &format!("{name:width$} ▐"));
            let ships: Vec<String> = self.moored.iter().filter(|one| one.server == place).map(ship).collect();
            let berths = if ships.is_empty() { self.style.paint(paint::DIM, "  nobody yet") } else { ships.concat() };
            lines.push(format!("  {head}{berths}"));
        }
        lines
    }
}

fn ship(one: &Moored) -> String {
    let Moored { client, note, .. } = one;
    if note.is_empty() { format!("── {client} ") } else { format!("── {client} {note} ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(style: Style, play: impl FnOnce(&mut Board<'_>)) -> String {
        let mut out = Vec::new();
        play(&mut Board::new(&mut out, style, &["pier-1".to_owned(), "pier-2".to_owned()]));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn plain_output_has_lines_and_nothing_else() {
        let text = shown(Style::PLAIN, |board| {
            board.moor("Ada", "pier-2");
            board.say("Ada is moored").unwrap();
            board.refresh().unwrap();
            board.finish().unwrap();
        });
        assert_eq!(text, "Ada is moored\n");
    }

    #[test]
    fn a_live_picture_takes_its_own_lines_back() {
        let text = shown(Style { live: true, colour: false }, |board| {
            board.moor("Ada", "pier-2");
            board.note("Ada", "3");
            board.refresh().unwrap();
            board.finish().unwrap();
        });
        assert_eq!(text, "\u{1b}[?7l\n  pier-1 ▐  nobody yet\n  pier-2 ▐── Ada 3 \n\u{1b}[?7h\u{1b}[3A\r\u{1b}[J");
    }

    #[test]
    fn a_client_lies_at_one_server_only() {
        let text = shown(Style { live: true, colour: false }, |board| {
            board.moor("Ada", "pier-2");
            board.moor("Ada", "pier-1");
            board.refresh().unwrap();
        });
        assert!(text.contains("pier-1 ▐── Ada \n  pier-2 ▐  nobody yet\n"), "{text}");
    }

    #[test]
    fn colours_only_where_they_may_be() {
        assert_eq!(Style::PLAIN.paint(paint::RED, "no"), "no");
        assert_eq!(Style { live: true, colour: true }.paint(paint::RED, "no"), "\u{1b}[31mno\u{1b}[0m");
    }
}
