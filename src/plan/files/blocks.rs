//! A TOML file as its blocks, so that a shipped one can be changed at a few places and keeps everything else, comments included. It knows no more
//! of TOML than the shipped files use: a table's header begins a block, a value ends where its brackets do.

use super::FilesError;

/// A file: what is before the first table, and each table.
#[derive(Clone, Debug)]
pub struct Blocks {
    blocks: Vec<Block>,
}

/// A table, with its header (empty: what stands before the first one), and the empty lines after it.
#[derive(Clone, Debug)]
pub struct Block {
    header: String,
    lines: Vec<String>,
}

impl Blocks {
    /// The blocks of a file.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut blocks = vec![Block { header: String::new(), lines: Vec::new() }];
        for line in text.lines() {
            if line.starts_with('[')
                && let Some(header) = line.split_whitespace().next()
            {
                blocks.push(Block { header: header.to_owned(), lines: Vec::new() });
            }
            if let Some(block) = blocks.last_mut() {
                block.lines.push(line.to_owned());
            }
        }
        Self { blocks }
    }

    /// The first table with that header.
    ///
    /// # Errors
    /// There is none.
    pub fn block(&mut self, header: &str) -> Result<&mut Block, FilesError> {
        let found = self.blocks.iter_mut().find(|block| block.header == header);
        found.ok_or_else(|| FilesError::Shipped(header.to_owned()))
    }

    /// Takes all tables with that header out, where there are any.
    pub fn remove(&mut self, header: &str) {
        self.blocks.retain(|block| block.header != header);
    }

    /// Puts a table before the first one with that header.
    ///
    /// # Errors
    /// There is none.
    pub fn insert_before(&mut self, header: &str, block: Block) -> Result<(), FilesError> {
        let at = self.blocks.iter().position(|block| block.header == header);
        self.blocks.insert(at.ok_or_else(|| FilesError::Shipped(header.to_owned()))?, block);
        Ok(())
    }

    /// The file.
    #[must_use]
    pub fn text(&self) -> String {
        let lines = self.blocks.iter().flat_map(|block| &block.lines);
        let mut text: String = lines.flat_map(|line| [line.as_str(), "\n"]).collect();
        while text.ends_with("\n\n") {
            text.pop();
        }
        text
    }
}

impl Block {
    /// A table of one's own; an empty line follows it.
    #[must_use]
    pub fn new(header: &str, lines: &[String]) -> Self {
        let mut all = vec![header.to_owned()];
        all.extend(lines.iter().cloned());
        all.push(String::new());
        Self { header: header.split_whitespace().next().unwrap_or_default().to_owned(), lines: all }
    }

    /// Puts another value in the place of a key's; a comment behind it stays where it is.
    ///
    /// # Errors
    /// It has no such key.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), FilesError> {
        let begins = |line: &String| line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='));
        let at =
            self.lines.iter().position(begins).ok_or_else(|| FilesError::Shipped(format!("{} {key}", self.header)))?;
        let mut end = at;
        let mut open = brackets(&self.lines[end]);
        while open > 0 && end + 1 < self.lines.len() {
            end += 1;
            open += brackets(&self.lines[end]);
        }
        let mut line = format!("{key} = {value}");
        if let Some(comment) = self.lines[at].find(" # ").filter(|_| end == at) {
            let (column, comment) = (comment + 1, self.lines[at][comment + 1..].to_owned());
            line = format!("{line:column$}{}{comment}", if line.len() >= column { " " } else { "" });
        }
        self.lines.splice(at..=end, [line]);
        Ok(())
    }

    /// Adds a line behind the last that says something.
    pub fn add(&mut self, line: impl Into<String>) {
        let at = self.lines.iter().rposition(|line| !line.trim().is_empty()).map_or(0, |at| at + 1);
        self.lines.insert(at, line.into());
    }
}

/// How many more brackets a line opens than it closes; comments of the shipped files have none.
fn brackets(line: &str) -> i32 {
    line.chars().map(|c| i32::from(c == '[') - i32::from(c == ']')).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# head\na = 1\n\n[t]                # of it\nb = \"x\"        # why\nlist = [\n    1,\n    2,\n]\n\n[[u]]\nc = 1\n";

    #[test]
    fn a_file_that_is_not_changed_stays_as_it_is() {
        assert_eq!(Blocks::of(FILE).text(), FILE);
        for tier in super::super::TIERS {
            assert_eq!(Blocks::of(tier).text(), tier);
        }
    }

    #[test]
    fn values_are_replaced_whole_and_comments_stay() {
        let mut file = Blocks::of(FILE);
        file.block("[t]").unwrap().set("b", "\"yy\"").unwrap();
        file.block("[t]").unwrap().set("list", "[]").unwrap();
        file.block("[t]").unwrap().add("d = 4");
        assert_eq!(file.text(), FILE.replace("\"x\"  ", "\"yy\" ").replace("[\n    1,\n    2,\n]\n", "[]\nd = 4\n"));
        assert!(file.block("[v]").is_err());
        assert!(file.block("[t]").unwrap().set("c", "1").is_err());
    }

    #[test]
    fn tables_come_and_go() {
        let mut file = Blocks::of(FILE);
        file.remove("[t]");
        file.insert_before("[[u]]", Block::new("[n]", &["x = 1".to_owned()])).unwrap();
        assert_eq!(file.text(), "# head\na = 1\n\n[n]\nx = 1\n\n[[u]]\nc = 1\n");
    }
}
