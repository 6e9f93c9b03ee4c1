//! What shares a canonical form and what does not: tables, and laws against a slow model of JSON values that knows
//! nothing of how they are written.

use std::collections::BTreeMap;

use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};
use proptest::{prop_assert, prop_assert_eq};

use super::*;

fn bytes(text: &str) -> Buffer {
    write(text, Place::ALL).unwrap()
}

fn digest(arguments: Option<&str>, selection: &Selection) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    feed_arguments(arguments, selection, &mut hasher).unwrap();
    hasher.finalize()
}

fn pointer(text: &str) -> Vec<Box<str>> {
    text.split('/').skip(1).map(Into::into).collect()
}

fn marked(marks: &[(Mark, &str)]) -> Selection {
    let mut selection = Selection::default();
    marks.iter().for_each(|(mark, at)| selection.mark(*mark, &pointer(at)));
    selection
}

#[test]
fn what_says_the_same_is_written_alike() {
    let table: &[&[&str]] = &[
        &["{}", " {\t} ", "{\r\n}"],
        &[r#"{"a":1,"b":[true,null]}"#, r#"{ "b" : [ true , null ] , "\u0061" : 10e-1 }"#],
        &[r#"{"a":{"x":1,"y":2},"b":0}"#, r#"{"b":-0.0,"a":{"y":2.0,"x":1}}"#],
        &[r#""Aé/😀\n""#, r#""\u0041\u00e9\/\uD83D\ude00\u000a""#],
        &[r#""\ud83d""#, r#""\uD83D""#],
        &["[1, 1.0, 1E0]", "[10e-1,0.1e1,1]"],
        &["9007199254740993", "9007199254740993.0"],
    ];
    for group in table {
        for text in *group {
            assert_eq!(bytes(text), bytes(group[0]), "{text}");
        }
    }
}

/// Texts that say different things.
const APART: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "1",
    "-1",
    "10",
    "0.1",
    "11",
    "1e2",
    "1e-2",
    "1e999999999",
    "1e-999999999",
    "9007199254740993",
    "9007199254740992",
    "0.1000000000000000055511151231257827",
    "[]",
    "{}",
    "[[]]",
    "[{}]",
    "[null]",
    "[1]",
    "[1,1]",
    "[11]",
    "[[1],1]",
    "[[1,1]]",
    r#""""#,
    r#""1""#,
    r#""true""#,
    r#""null""#,
    r#""N1e0""#,
    r#"["1"]"#,
    r#"["a","b"]"#,
    r#"["ab",""]"#,
    r#"["","ab"]"#,
    r#"["a\u0000b"]"#,
    r#""\u00e9""#,
    r#""e\u0301""#,
    r#""K""#,
    r#""\u212a""#,
    r#""a""#,
    r#""A""#,
    r#""a ""#,
    r#""\ud83d""#,
    r#""\ud83e""#,
    r#""\ude00""#,
    r#""\ude00\ud83d""#,
    r#""\ud83d\ude00""#,
    r#""\ud83d\ud83d\ude00""#,
    r#""\ufffd""#,
    r#""\ud83d?""#,
    r#"{"a":null}"#,
    r#"{"a":1}"#,
    r#"{"a":"1"}"#,
    r#"{"A":1}"#,
    r#"{"a":1,"b":1}"#,
    r#"{"a":{"b":1}}"#,
    r#"{"a":{},"b":1}"#,
    r#"{"\ud83d":1}"#,
    r#"{"\ud83e":1}"#,
    r#"{"":1}"#,
    r#"{"":""}"#,
    r#"{"a":{"":1}}"#,
];

#[test]
fn no_two_of_these_share_a_form() {
    for (at, left) in APART.iter().enumerate() {
        for right in &APART[..at] {
            let (left_bytes, right_bytes) = (bytes(left), bytes(right));
            assert_ne!(left_bytes, right_bytes, "{left} and {right}");
            assert!(!left_bytes.starts_with(&right_bytes) && !right_bytes.starts_with(&left_bytes), "{left}, {right}");
        }
    }
}

#[test]
fn keys_are_in_the_order_of_code_points() {
    // As bytes of UTF-8, unlike code units of UTF-16, where U+1F600 would come before U+FB01.
    let sorted = r#"{"":0,"A":1,"a":2,"aa":3,"\ud83d":4,"ﬁ":5,"😀":6}"#;
    let written = bytes(sorted);
    assert_eq!(bytes(r#"{"😀":6,"ﬁ":5,"\ud83d":4,"aa":3,"a":2,"A":1,"":0}"#), written);
    assert_eq!(&written[..7], b"O\xffN\xffA\xffN", "in the order of the text");
}

#[test]
fn what_is_not_one_value_has_no_form() {
    let malformed = [
        "",
        " ",
        "{",
        "[",
        "\"",
        "\"\\",
        "\"\\u12",
        "\"\\u12g4\"",
        "\"\\x\"",
        "\"\u{1}\"",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "{\"a\":1,}",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{} {}",
        "1 1",
        "tru",
        "nul",
        "True",
        "truefalse",
        "01",
        "+1",
        "]",
        "}",
        "[}",
        "{]",
        "\"\\ud83d",
        "\"\\ud83d\\u",
        "\"\\ud83d\\ude0\"",
        "\u{feff}{}",
        "-",
        "[1}",
        "{\"a\":1]",
    ];
    for text in malformed {
        assert_eq!(write(text, Place::ALL), Err(CanonicalError::Malformed), "{text}");
    }
    let repeated = [r#"{"a":1,"a":1}"#, r#"{"a":1,"b":2,"\u0061":3}"#, r#"[{"b":{"a":1,"a":2}}]"#];
    for text in repeated {
        assert_eq!(write(text, Place::ALL), Err(CanonicalError::RepeatedKey), "{text}");
        let ignores = marked(&[(Mark::Ignore, "/a"), (Mark::Only, "/b")]);
        assert_eq!(write(text, ignores.whole()), Err(CanonicalError::RepeatedKey), "{text}");
    }
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(write(&nested(MAX_DEPTH), Place::ALL).is_ok());
    assert_eq!(write(&nested(MAX_DEPTH + 1), Place::ALL), Err(CanonicalError::TooDeep));
    assert_eq!(write(&"{\"a\":".repeat(1_000_000), Place::ALL), Err(CanonicalError::TooDeep));
    let wide = format!("[{}0]", "[[]],".repeat(10_000));
    assert!(write(&wide, Place::ALL).is_ok(), "what is closed is not deep");
}

#[test]
fn absent_arguments_are_empty_ones() {
    let all = Selection::default();
    let empty = digest(Some("{}"), &all);
    assert_eq!(digest(None, &all), empty);
    assert_eq!(digest(Some(""), &all), empty);
    for other in ["null", "[]", r#""""#, r#"{"a":null}"#] {
        assert_ne!(digest(Some(other), &all), empty, "{other}");
    }
}

#[test]
fn what_is_fed_one_after_the_other_keeps_apart() {
    let fed = |texts: [&str; 2]| {
        let mut hasher = blake3::Hasher::new();
        texts.iter().for_each(|text| feed(text, &mut hasher).unwrap());
        hasher.finalize()
    };
    assert_ne!(fed(["1", "11"]), fed(["11", "1"]));
    assert_ne!(fed([r#""a""#, r#""""#]), fed([r#""""#, r#""a""#]));
    assert_ne!(fed(["[]", "[1]"]), fed(["[1]", "[]"]));
}

#[test]
fn of_meta_what_names_the_request_alone_does_not_count() {
    let fed = |meta: Option<&str>| {
        let mut hasher = blake3::Hasher::new();
        feed_meta(meta, &mut hasher).unwrap();
        hasher.finalize()
    };
    let uncounted = r#"{"progressToken":7,"traceparent":"00-1","tracestate":"a=b","baggage":"c=d",
        "io.modelcontextprotocol/clientInfo":{"name":"x","version":"1"}}"#;
    assert_eq!(fed(Some(uncounted)), fed(None));
    assert_eq!(fed(Some(r#"{"progress\u0054oken":8,"a":1}"#)), fed(Some(r#"{"a":1.0}"#)));
    for counted in [
        r#"{"a":{"progressToken":7}}"#,
        r#"{"ProgressToken":7}"#,
        r#"{"io.modelcontextprotocol/clientCapabilities":{}}"#,
        r#"{"io.modelcontextprotocol/logLevel":"debug"}"#,
        "[]",
    ] {
        assert_ne!(fed(Some(counted)), fed(None), "{counted}");
    }
}

#[test]
fn a_selection_says_what_counts() {
    use Mark::{Ignore, Lowercase, Only, Trim};
    let same: &[Case<'_>] = &[
        (&[(Ignore, "/a")], r#"{"a":{"x":[1]},"b":1}"#, r#"{"b":1}"#),
        (&[(Ignore, "/a/b")], r#"{"a":{"b":1}}"#, r#"{"a":{}}"#),
        (&[(Ignore, "/a/0")], r#"{"a":[5,1]}"#, r#"{"a":[6,1]}"#),
        (&[(Ignore, "/a/0")], r#"{"a":[5]}"#, r#"{"a":[]}"#),
        (&[(Ignore, "/a~b")], r#"{"a~b":5}"#, "{}"),
        (&[(Only, "/a")], r#"{"a":{"x":1},"b":2,"c":{"a":3}}"#, r#"{"a":{"x":1}}"#),
        (&[(Only, "/a/b")], r#"{"a":{"c":1}}"#, "{}"),
        (&[(Only, "/a/b")], r#"{"a":1}"#, r#"{"a":[]}"#),
        (&[(Only, "/a/b")], r#"{"z":0,"a":{"c":1,"b":2}}"#, r#"{"a":{"b":2,"d":3}}"#),
        (&[(Only, "/a"), (Ignore, "/a/b")], r#"{"a":{"b":1},"c":0}"#, r#"{"a":{}}"#),
        (&[(Ignore, "/a"), (Only, "/a/b")], r#"{"a":{"b":1}}"#, "{}"),
        (&[(Only, "")], r#"{"a":1}"#, r#"{"a":1.0}"#),
        (&[(Ignore, "")], r#"{"a":1}"#, "{}"),
        (&[(Only, "/a")], "[1]", "{}"),
        (&[(Lowercase, "/q")], r#"{"q":"ÄPFEL"}"#, r#"{"q":"äpfel"}"#),
        (&[(Trim, "/q")], r#"{"q":"\u00a0 x y\n"}"#, r#"{"q":"x y"}"#),
        (&[(Trim, "/q"), (Lowercase, "/q")], r#"{"q":" X"}"#, r#"{"q":"x"}"#),
        (&[(Lowercase, "/q/1")], r#"{"q":["A","B"]}"#, r#"{"q":["A","b"]}"#),
    ];
    for (marks, left, right) in same {
        let selection = marked(marks);
        assert_eq!(digest(Some(left), &selection), digest(Some(right), &selection), "{marks:?} {left} {right}");
    }
    let different: &[Case<'_>] = &[
        (&[(Ignore, "/a")], r#"{"b":{"a":1}}"#, r#"{"b":{}}"#),
        (&[(Ignore, "/a/b")], r#"{"a":{"b":1}}"#, "{}"),
        (&[(Ignore, "/a/1")], r#"{"a":[1]}"#, r#"{"a":[2]}"#),
        (&[(Ignore, "/a/01")], r#"{"a":[1,2]}"#, r#"{"a":[1]}"#),
        (&[(Only, "/a")], r#"{"a":null}"#, "{}"),
        (&[(Only, "/a/0/k"), (Only, "/a/1/k")], r#"{"a":[{"k":1},{}]}"#, r#"{"a":[{},{"k":1}]}"#),
        (&[(Only, "/a/0")], r#"{"a":["x"]}"#, r#"{"a":{"0":"x"}}"#),
        (&[(Lowercase, "/q")], r#"{"q":"A","r":"A"}"#, r#"{"q":"a","r":"a"}"#),
        (&[(Lowercase, "/q")], r#"{"q":["A"]}"#, r#"{"q":["a"]}"#),
        (&[(Lowercase, "/q")], r#"{"q":"A\ud800"}"#, r#"{"q":"a\ud800"}"#),
        (&[(Lowercase, "/Q")], r#"{"Q":1}"#, r#"{"q":1}"#),
        (&[(Trim, "/q")], r#"{"q":" "}"#, "{}"),
    ];
    for (marks, left, right) in different {
        let selection = marked(marks);
        assert_ne!(digest(Some(left), &selection), digest(Some(right), &selection), "{marks:?} {left} {right}");
    }
}

/// Marks, and two arguments.
type Case<'a> = (&'a [(Mark, &'a str)], &'a str, &'a str);

/// A value as such.
#[derive(Clone, Debug)]
enum Model {
    Null,
    Bool(bool),
    /// Sign, digits, power of ten of the last digit.
    Number(bool, String, i128),
    /// UTF-16, so that half a surrogate pair can be in it.
    Text(Vec<u16>),
    List(Vec<Self>),
    Map(BTreeMap<Vec<u16>, Self>),
}

/// What holds at a path: the kind of a container, or a leaf.
#[derive(Clone, Debug)]
enum Fact {
    List,
    Map,
    Leaf(Model),
}

type Path = Vec<Vec<u16>>;

impl PartialEq for Fact {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::List, Self::List) | (Self::Map, Self::Map) | (Self::Leaf(Model::Null), Self::Leaf(Model::Null)) => {
                true
            }
            (Self::Leaf(Model::Bool(left)), Self::Leaf(Model::Bool(right))) => left == right,
            (Self::Leaf(Model::Text(left)), Self::Leaf(Model::Text(right))) => left == right,
            (Self::Leaf(Model::Number(..)), Self::Leaf(Model::Number(..))) => self.is_equal_number(other),
            _ => false,
        }
    }
}

impl Fact {
    /// Long subtraction's way: both numbers with as many digits after the point.
    fn is_equal_number(&self, other: &Self) -> bool {
        let (Self::Leaf(Model::Number(minus, digits, power)), Self::Leaf(Model::Number(minus2, digits2, power2))) =
            (self, other)
        else {
            return false;
        };
        let lowest = *power.min(power2);
        let aligned = |digits: &str, power: i128| {
            let zeros = usize::try_from(power - lowest).ok().filter(|zeros| *zeros < 100)?;
            Some(format!("{digits}{}", "0".repeat(zeros)).trim_start_matches('0').to_owned())
        };
        let is_zero = |digits: &str| digits.bytes().all(|digit| digit == b'0');
        match (is_zero(digits), is_zero(digits2)) {
            (true, true) => true,
            (false, false) => {
                let (left, right) = (aligned(digits, *power), aligned(digits2, *power2));
                minus == minus2 && left.is_some() && left == right
            }
            _ => false,
        }
    }
}

fn facts(value: &Model, path: &Path, into: &mut Vec<(Path, Fact)>) {
    let below = |segment: &[u16]| [path.as_slice(), &[segment.to_vec()]].concat();
    match value {
        Model::List(elements) => {
            into.push((path.clone(), Fact::List));
            let units = |index: usize| index.to_string().encode_utf16().collect::<Vec<_>>();
            elements.iter().enumerate().for_each(|(index, element)| facts(element, &below(&units(index)), into));
        }
        Model::Map(members) => {
            into.push((path.clone(), Fact::Map));
            members.iter().for_each(|(key, member)| facts(member, &below(key), into));
        }
        leaf => into.push((path.clone(), Fact::Leaf(leaf.clone()))),
    }
}

/// What of a value counts, worked out pointer by pointer.
fn counted(value: &Model, marks: &[(Mark, Path)]) -> Vec<(Path, Fact)> {
    let with = |mark: Mark| marks.iter().filter(move |(own, _)| *own == mark).map(|(_, path)| path);
    let mut all = Vec::new();
    facts(value, &Vec::new(), &mut all);
    all.retain(|(path, _)| !with(Mark::Ignore).any(|ignored| path.starts_with(ignored)));
    if with(Mark::Only).next().is_some() {
        let chosen = |path: &Path| with(Mark::Only).any(|only| path.starts_with(only));
        let kept: Vec<Path> = all.iter().map(|(path, _)| path.clone()).filter(chosen).collect();
        all.retain(|(path, _)| kept.iter().any(|kept| kept.starts_with(path)));
    }
    for (path, fact) in &mut all {
        let Fact::Leaf(Model::Text(units)) = fact else { continue };
        let Ok(mut text) = String::from_utf16(units) else { continue };
        if with(Mark::Trim).any(|at| at == path) {
            text = text.trim().to_owned();
        }
        if with(Mark::Lowercase).any(|at| at == path) {
            text = text.to_lowercase();
        }
        *units = text.encode_utf16().collect();
    }
    if all.is_empty() {
        all.push((Vec::new(), Fact::Map));
    }
    all.sort_by(|left, right| left.0.cmp(&right.0));
    all
}

/// Chooses how a value is written.
struct Hand(u64);

impl Hand {
    fn pick(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % below
    }

    fn space(&mut self) -> &'static str {
        ["", "", "", " ", "\n", "\t \r"][self.pick(6)]
    }

    fn write(&mut self, value: &Model) -> String {
        let written = match value {
            Model::Null => "null".to_owned(),
            Model::Bool(value) => value.to_string(),
            Model::Number(minus, digits, power) => self.number(*minus, digits, *power),
            Model::Text(units) => self.text(units),
            Model::List(elements) => {
                let elements: Vec<String> = elements.iter().map(|element| self.write(element)).collect();
                format!("[{}{}]", self.space(), elements.join(","))
            }
            Model::Map(members) => {
                let mut members: Vec<String> = members
                    .iter()
                    .map(|(key, member)| format!("{}{}:{}", self.text(key), self.space(), self.write(member)))
                    .collect();
                (1..members.len()).rev().for_each(|at| members.swap(at, self.pick(at + 1)));
                format!("{{{}{}}}", self.space(), members.join(","))
            }
        };
        format!("{}{written}{}", self.space(), self.space())
    }

    fn text(&mut self, units: &[u16]) -> String {
        let mut out = String::from('"');
        for point in char::decode_utf16(units.iter().copied()) {
            let short = point.as_ref().ok().and_then(|c| "\"\\/\u{8}\u{c}\n\r\t".find(*c));
            match (point, short, self.pick(3)) {
                (_, Some(at), 0..2) => out.extend(['\\', char::from(b"\"\\/bfnrt"[at])]),
                (Ok(c), None, 0..2) if c >= ' ' => out.push(c),
                (Ok(c), ..) => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out += &self.escape(*unit)),
                (Err(half), ..) => out += &self.escape(half.unpaired_surrogate()),
            }
        }
        out + "\""
    }

    fn escape(&mut self, unit: u16) -> String {
        if self.pick(2) == 0 { format!("\\u{unit:04x}") } else { format!("\\u{unit:04X}") }
    }

    fn number(&mut self, minus: bool, digits: &str, power: i128) -> String {
        let digits = format!("{}{digits}{}", "0".repeat(self.pick(3)), "0".repeat(self.pick(1)));
        let zeros = self.pick(4);
        let (digits, power) = (digits + &"0".repeat(zeros), power - i128::try_from(zeros).unwrap());
        let behind_point = self.pick(digits.len());
        let (whole, fraction) = digits.split_at(digits.len() - behind_point);
        let power = power + i128::try_from(behind_point).unwrap();
        let whole = whole.trim_start_matches('0');
        let sign = if minus { "-" } else { "" };
        let whole = if whole.is_empty() { "0" } else { whole };
        let fraction = if fraction.is_empty() { String::new() } else { format!(".{fraction}") };
        let letter = ["e", "E"][self.pick(2)];
        let plus = if power < 0 { "-" } else { ["", "+"][self.pick(2)] };
        let exponent = format!("{letter}{plus}{}{}", "0".repeat(self.pick(3) * 9), power.unsigned_abs());
        let exponent = if power == 0 && self.pick(2) == 0 { String::new() } else { exponent };
        format!("{sign}{whole}{fraction}{exponent}")
    }
}

fn units() -> impl Strategy<Value = Vec<u16>> {
    let unit = prop_oneof![
        6 => prop::sample::select(&[0x41, 0x61, 0xe9, 0x301, 0x20, 0x22, 0x5c, 0x2f, 0x0a, 0x130][..]),
        1 => prop::sample::select(&[0xd83d, 0xde00, 0xd83e, 0xfffd, 0xfb01, 0][..]),
        1 => any::<u16>(),
    ];
    prop::collection::vec(unit, 0..4)
}

fn key() -> impl Strategy<Value = Vec<u16>> {
    let plain = prop::sample::select(&["a", "b", "0", "1", "aa"][..]);
    prop_oneof![5 => plain.prop_map(|key| key.encode_utf16().collect()), 1 => units()]
}

fn number() -> impl Strategy<Value = Model> {
    let digits = prop_oneof!["[0-9]", "[0-3]0", "900719925474099[23]", "[0-9]{1,25}"];
    let power = prop_oneof![
        6 => -2..3_i128,
        1 => (-3..3_i128).prop_map(|near| 1_000_000_000_000_000_000 + near),
        1 => (-3..3_i128).prop_map(|near| near - 1_000_000_000_000_000_000),
        1 => (-3..3_i128).prop_map(|near| 10_i128.pow(35) + near),
    ];
    (any::<bool>(), digits, power).prop_map(|(minus, digits, power)| Model::Number(minus, digits, power))
}

fn model() -> impl Strategy<Value = Model> {
    let leaf = prop_oneof![
        1 => Just(Model::Null),
        1 => any::<bool>().prop_map(Model::Bool),
        4 => number(),
        4 => units().prop_map(Model::Text),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..4).prop_map(Model::List),
            2 => prop::collection::btree_map(key(), inner, 0..4).prop_map(Model::Map),
        ]
    })
}

/// A value, and another that often is nearly the same.
fn pair() -> impl Strategy<Value = (Model, Model)> {
    (model(), model(), any::<u8>()).prop_map(|(left, other, at)| {
        let mut right = left.clone();
        replace(&mut right, other, usize::from(at));
        (left, right)
    })
}

/// Puts `other` somewhere into the value.
fn replace(value: &mut Model, other: Model, at: usize) {
    match value {
        Model::List(elements) if !elements.is_empty() && at > 40 => {
            let length = elements.len();
            replace(&mut elements[at % length], other, at / 2);
        }
        Model::Map(members) if !members.is_empty() && at > 40 => {
            let length = members.len();
            replace(members.values_mut().nth(at % length).unwrap(), other, at / 2);
        }
        whole => *whole = other,
    }
}

fn marks() -> impl Strategy<Value = Vec<(Mark, Path)>> {
    let mark = prop::sample::select(&[Mark::Only, Mark::Ignore, Mark::Lowercase, Mark::Trim][..]);
    let segment = prop::sample::select(&["a", "b", "0", "1"][..]).prop_map(|key| key.encode_utf16().collect());
    prop::collection::vec((mark, prop::collection::vec(segment, 1..4)), 0..4)
}

fn selection(marks: &[(Mark, Path)]) -> Selection {
    let mut selection = Selection::default();
    for (mark, path) in marks {
        let segments: Vec<Box<str>> = path.iter().map(|units| String::from_utf16(units).unwrap().into()).collect();
        selection.mark(*mark, &segments);
    }
    selection
}

proptest! {
    #[test]
    fn however_a_value_is_written_its_form_is_the_same(value in model(), one in 1_u64.., two in 1_u64..) {
        let (left, right) = (Hand(one).write(&value), Hand(two).write(&value));
        prop_assert_eq!(bytes(&left), bytes(&right), "{} and {}", left, right);
    }

    #[test]
    fn values_share_a_form_if_they_are_equal_and_only_then((left, right) in pair(), one in 1_u64.., two in 1_u64..) {
        let is_equal = counted(&left, &[]) == counted(&right, &[]);
        let (left, right) = (Hand(one).write(&left), Hand(two).write(&right));
        let (left_bytes, right_bytes) = (bytes(&left), bytes(&right));
        prop_assert_eq!(left_bytes == right_bytes, is_equal, "{} and {}", left, right);
        prop_assert_eq!(left_bytes.starts_with(&right_bytes), is_equal, "{} and {}", left, right);
    }

    #[test]
    fn numbers_share_a_form_if_they_are_equal_and_only_then(
        left in number(), right in number(), one in 1_u64.., two in 1_u64..
    ) {
        let is_equal = Fact::Leaf(left.clone()) == Fact::Leaf(right.clone());
        let (left, right) = (Hand(one).write(&left), Hand(two).write(&right));
        prop_assert_eq!(bytes(&left) == bytes(&right), is_equal, "{} and {}", left, right);
    }

    #[test]
    fn with_a_selection_what_counts_decides((left, right) in pair(), marks in marks(), one in 1_u64.., two in 1_u64..) {
        let is_equal = counted(&left, &marks) == counted(&right, &marks);
        let selection = selection(&marks);
        let (left, right) = (Hand(one).write(&left), Hand(two).write(&right));
        let digests = [&left, &right].map(|text| digest(Some(text), &selection));
        prop_assert_eq!(digests[0] == digests[1], is_equal, "{} and {}", left, right);
    }

    #[test]
    fn any_text_at_all_is_read_or_refused(text in r#"[\[\]{}:,"\\u0-9a-f.eE+\- truefalsn]{0,40}"#) {
        let parsed = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        match write(&text, Place::ALL) {
            Err(CanonicalError::Malformed) => prop_assert!(!parsed, "{}", text),
            Ok(_) | Err(CanonicalError::RepeatedKey | CanonicalError::TooDeep) => prop_assert!(parsed, "{}", text),
        }
    }
}
