//! Which parts of a value count, as a tree of marks along JSON pointers. It knows no JSON text.

/// What a pointer says of the value that it leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It counts, and so does whatever else has this mark; nothing else does.
    Only,
    /// It is left out.
    Ignore,
    /// If it is a string, upper case counts as lower case (Unicode).
    Lowercase,
    /// If it is a string, white space around it does not count (Unicode).
    Trim,
}

/// Marks along JSON pointers. Without any, everything counts as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    root: Node,
    has_only: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Node {
    /// Sorted by their segments.
    children: Vec<(Box<str>, Self)>,
    marks: u8,
}

/// Where in a selection a value stands.
#[derive(Clone, Copy)]
pub(super) struct Place<'s> {
    /// None where no pointer leads any further.
    node: Option<&'s Node>,
    counts: bool,
}

impl Mark {
    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl Selection {
    /// Marks what the pointer leads to; the pointer is given by its decoded segments. None are the whole value.
    pub fn mark(&mut self, mark: Mark, pointer: &[Box<str>]) {
        let node = pointer.iter().fold(&mut self.root, |node, segment| {
            let at = match node.find(segment.as_bytes()) {
                Ok(at) => at,
                Err(at) => {
                    node.children.insert(at, (segment.clone(), Node::default()));
                    at
                }
            };
            &mut node.children[at].1
        });
        node.marks |= mark.bit();
        self.has_only |= mark == Mark::Only;
    }

    /// Everything but these members of an object.
    #[must_use]
    pub fn without(keys: &[&str]) -> Self {
        let mut selection = Self::default();
        keys.iter().for_each(|key| selection.mark(Mark::Ignore, &[(*key).into()]));
        selection
    }

    pub(super) const fn whole(&self) -> Place<'_> {
        Place { node: Some(&self.root), counts: !self.has_only }.entered()
    }
}

impl Node {
    fn find(&self, segment: &[u8]) -> Result<usize, usize> {
        self.children.binary_search_by(|(own, _)| own.as_bytes().cmp(segment))
    }
}

impl<'s> Place<'s> {
    /// Where everything counts as it is.
    pub(super) const ALL: Self = Self { node: None, counts: true };

    /// The place of a member or element, by its key (in UTF-8, or whatever cannot be it) or index.
    pub(super) fn below(self, segment: &[u8]) -> Self {
        let child = self.node.and_then(|node| node.find(segment).ok().map(|at| &node.children[at].1));
        Self { node: child, counts: self.counts }.entered()
    }

    const fn entered(self) -> Self {
        Self { node: self.node, counts: self.counts || self.has(Mark::Only) }
    }

    /// Whether any place below this one differs from it.
    pub(super) fn is_parted(self) -> bool {
        self.node.is_some_and(|node| !node.children.is_empty())
    }

    /// Whether the value that stands here counts: all of it but what is marked otherwise below.
    pub(super) const fn counts(self) -> bool {
        self.counts && !self.is_ignored()
    }

    /// Whether nothing counts, here and below.
    pub(super) const fn is_ignored(self) -> bool {
        self.has(Mark::Ignore)
    }

    pub(super) const fn has(self, mark: Mark) -> bool {
        matches!(self.node, Some(node) if node.marks & mark.bit() != 0)
    }
}
