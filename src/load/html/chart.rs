//! Charts as SVG, drawn by hand: lines and stacked bars over one axis each way, moments marked by upright lines. A chart comes in two widths, of
//! which the page shows the one that fits, so that its text is readable on a phone. It knows nothing of what it draws.

use std::fmt::Write as _;

use super::escaped;

/// How an axis is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Evenly.
    Linear,
    /// By powers of ten.
    Log,
}

/// One axis.
#[derive(Clone, Debug)]
pub struct Axis {
    /// What it shows, with its unit.
    pub name: &'static str,
    /// How it is divided.
    pub scale: Scale,
    /// How a value on it is written.
    pub shown: fn(f64) -> String,
    /// Where it begins and ends.
    pub range: (f64, f64),
}

/// A line.
#[derive(Clone, Debug)]
pub struct Line {
    /// What the legend calls it.
    pub name: String,
    /// Its points, from left to right; what is not finite breaks the line.
    pub points: Vec<(f64, f64)>,
}

/// Bars of one kind, stacked on those of the kinds before.
#[derive(Clone, Debug)]
pub struct Bars {
    /// What the legend calls them.
    pub name: String,
    /// Where each begins and ends, and how high it is.
    pub bars: Vec<(f64, f64, f64)>,
}

/// A chart.
#[derive(Clone, Debug)]
pub struct Chart {
    /// A word for ids.
    pub id: &'static str,
    /// Its title.
    pub title: String,
    /// What it says, for those who do not see it, and as a caption.
    pub says: String,
    /// Left to right.
    pub x: Axis,
    /// Bottom to top.
    pub y: Axis,
    /// Lines.
    pub lines: Vec<Line>,
    /// Bars.
    pub bars: Vec<Bars>,
    /// Moments.
    pub marks: Vec<(f64, String)>,
    /// What is said of each place: where it is, and the words.
    pub places: Vec<(f64, String)>,
    /// The same as a table: its heading, and its rows.
    pub table: (Vec<String>, Vec<Vec<String>>),
}

/// Room around the plot.
const LEFT: f64 = 66.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 22.0;
const BOTTOM: f64 = 40.0;

/// The two sizes.
const SIZES: [(&str, f64, f64); 2] = [("wide", 720.0, 300.0), ("narrow", 350.0, 260.0)];

/// Text of so many bytes is broken into lines.
const LONG: usize = 40;

/// Rows of a chart's table at most.
const MOST_ROWS: usize = 120;

impl Axis {
    /// From 0 to 1 along the axis.
    fn place(&self, value: f64) -> f64 {
        let (low, high) = self.range;
        let part = match self.scale {
            Scale::Linear => (value - low) / (high - low),
            Scale::Log => (value.max(low) / low).log10() / (high / low).log10(),
        };
        if part.is_finite() { part.clamp(0.0, 1.0) } else { 0.0 }
    }

    /// Where it is marked.
    fn ticks(&self, most: usize) -> Vec<f64> {
        let (low, high) = self.range;
        if self.scale == Scale::Log {
            #[expect(clippy::cast_possible_truncation, reason = "a power of ten")]
            let (first, last) = (low.log10().ceil() as i32, high.log10().floor() as i32);
            return (first..=last).map(|power| 10_f64.powi(power)).collect();
        }
        let raw = (high - low) / most as f64;
        let power = 10_f64.powf(raw.log10().floor());
        let step =
            [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= raw).unwrap_or(raw);
        let first = (low / step).ceil();
        (0..=most).map(|at| (first + at as f64) * step).filter(|tick| *tick <= high * 1.000_001).collect()
    }
}

impl Chart {
    /// The chart with its title, legend, caption and table.
    #[must_use]
    pub fn figure(&self) -> String {
        let id = self.id;
        let mut out = String::new();
        let places: Vec<&str> = self.places.iter().map(|(_, words)| words.as_str()).collect();
        let at: Vec<f64> = self.places.iter().map(|(at, _)| (self.x.place(*at) * 1e4).round() / 1e4).collect();
        let data = serde_json::json!({"at": at, "words": places}).to_string();
        // Writing to a String cannot fail, here and below.
        let _ = write!(out, "<figure id=\"{id}\" data-places=\"{}\"><h2>{}</h2>", escaped(&data), escaped(&self.title));
        out.push_str(&self.legend());
        for (name, width, height) in SIZES {
            self.draw(name, (width, height), &mut out);
        }
        let _ = write!(
            out,
            "<output class=\"place\" for=\"{id}\"></output><figcaption>{}</figcaption>",
            escaped(&self.says)
        );
        out.push_str(&self.data_table());
        out.push_str("</figure>\n");
        out
    }

    fn legend(&self) -> String {
        let names =
            self.bars.iter().map(|bars| ("bar", &bars.name)).chain(self.lines.iter().map(|line| ("line", &line.name)));
        let mut out = String::from("<ul class=\"legend\">");
        for (at, (kind, name)) in names.enumerate() {
            let _ = write!(out, "<li><svg class=\"key\" viewBox=\"0 0 24 12\" aria-hidden=\"true\">");
            let class = at % 8;
            let _ = match kind {
                "bar" => write!(out, "<rect class=\"fill{class}\" width=\"24\" height=\"12\"/>"),
                _ => write!(out, "<path class=\"line{class}\" d=\"M0 6H24\"/>"),
            };
            let _ = write!(out, "</svg>{}</li>", escaped(name));
        }
        out.push_str("</ul>");
        out
    }

    fn draw(&self, size: &str, (width, height): (f64, f64), out: &mut String) {
        let id = self.id;
        let (inner_width, inner_height) = (width - LEFT - RIGHT, height - TOP - BOTTOM);
        let _ = write!(
            out,
            "<svg class=\"chart {size}\" viewBox=\"0 0 {width} {height}\" role=\"img\" tabindex=\"0\" data-left=\"{LEFT}\" \
             data-width=\"{inner_width}\" aria-labelledby=\"{id}-{size}-title {id}-{size}-says\">\
             <title id=\"{id}-{size}-title\">{}</title><desc id=\"{id}-{size}-says\">{}</desc>",
            escaped(&self.title),
            escaped(&self.says)
        );
        let x = |value: f64| LEFT + self.x.place(value) * inner_width;
        let y = |value: f64| TOP + (1.0 - self.y.place(value)) * inner_height;
        self.grid((width, height), &x, &y, out);
        self.draw_bars(&x, &y, out);
        for (at, line) in self.lines.iter().enumerate() {
            let _ = write!(
                out,
                "<path class=\"line{}\" d=\"{}\"/>",
                (at + self.bars.len()) % 8,
                path(&line.points, &x, &y)
            );
        }
        for (number, (at, _)) in self.marks.iter().enumerate() {
            let place = x(*at);
            let _ = write!(
                out,
                "<path class=\"mark\" d=\"M{place:.1} {TOP}V{:.1}\"/><circle class=\"flag\" cx=\"{place:.1}\" cy=\"12\" r=\"9\"/>\
                 <text class=\"flag\" x=\"{place:.1}\" y=\"16\" text-anchor=\"middle\">{}</text>",
                height - BOTTOM,
                number + 1
            );
        }
        let _ =
            write!(out, "<path class=\"cursor\" d=\"M0 {TOP}V{:.1}\" visibility=\"hidden\"/></svg>", height - BOTTOM);
    }

    fn grid(&self, (width, height): (f64, f64), x: &dyn Fn(f64) -> f64, y: &dyn Fn(f64) -> f64, out: &mut String) {
        let bottom = height - BOTTOM;
        for tick in self.y.ticks(5) {
            let (at, shown) = (y(tick), escaped(&(self.y.shown)(tick)));
            let _ = write!(
                out,
                "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{:.1}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{shown}</text>",
                width - RIGHT,
                LEFT - 6.0,
                at + 4.0
            );
        }
        let most = if width > 500.0 { 8 } else { 4 };
        for tick in self.x.ticks(most) {
            let (at, shown) = (x(tick), escaped(&(self.x.shown)(tick)));
            let _ = write!(
                out,
                "<path class=\"grid\" d=\"M{at:.1} {bottom:.1}v4\"/><text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{shown}</text>",
                bottom + 17.0
            );
        }
        let _ = write!(
            out,
            "<text class=\"axis\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text><text class=\"axis\" x=\"2\" y=\"12\">{}</text>",
            width - RIGHT,
            height - 5.0,
            escaped(self.x.name),
            escaped(self.y.name)
        );
    }

    fn draw_bars(&self, x: &dyn Fn(f64) -> f64, y: &dyn Fn(f64) -> f64, out: &mut String) {
        let longest = self.bars.iter().map(|bars| bars.bars.len()).max().unwrap_or(0);
        let mut below = vec![0.0; longest];
        for (kind, bars) in self.bars.iter().enumerate() {
            for (at, (begin, end, value)) in bars.bars.iter().enumerate().filter(|(_, bar)| bar.2 > 0.0) {
                let (left, right) = (x(*begin), x(*end));
                let (bottom, top) = (y(below[at]), y(below[at] + value));
                below[at] += value;
                let _ = write!(
                    out,
                    "<rect class=\"fill{}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>",
                    kind % 8,
                    (right - left - 0.5).max(1.0),
                    (bottom - top).max(0.5)
                );
            }
        }
    }

    fn data_table(&self) -> String {
        let (heading, rows) = &self.table;
        let step = rows.len().div_ceil(MOST_ROWS).max(1);
        let rows: Vec<&Vec<String>> = rows.iter().step_by(step).collect();
        let note = if step > 1 { format!(" (every {step}th row)") } else { String::new() };
        let summary = format!("<summary>{} as a table{note}</summary>", escaped(&self.title));
        format!("<details>{summary}{}</details>", table(&self.title, heading, &rows))
    }
}

/// A table that can be scrolled where it is too wide.
#[must_use]
pub fn table(name: &str, heading: &[String], rows: &[&Vec<String>]) -> String {
    let mut out = format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}, table\"><table><thead><tr>",
        escaped(name)
    );
    for cell in heading {
        let _ = write!(out, "<th scope=\"col\">{}</th>", escaped(cell));
    }
    out.push_str("</tr></thead><tbody>");
    for row in rows {
        out.push_str("<tr>");
        for (at, cell) in row.iter().enumerate() {
            let cell = escaped(cell);
            let _ = match (at, cell.len()) {
                (0, _) => write!(out, "<th scope=\"row\">{cell}</th>"),
                (_, 0..LONG) => write!(out, "<td>{cell}</td>"),
                _ => write!(out, "<td class=\"text\">{cell}</td>"),
            };
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table></div>");
    out
}

fn path(points: &[(f64, f64)], x: &dyn Fn(f64) -> f64, y: &dyn Fn(f64) -> f64) -> String {
    let (mut out, mut pen_is_down) = (String::new(), false);
    for (at, value) in points {
        if value.is_finite() {
            let _ = write!(out, "{}{:.1} {:.1}", if pen_is_down { 'L' } else { 'M' }, x(*at), y(*value));
        }
        pen_is_down = value.is_finite();
    }
    // A path must have something in it.
    if out.is_empty() { "M0 0".to_owned() } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(scale: Scale, range: (f64, f64)) -> Axis {
        Axis { name: "x", scale, shown: |value| value.to_string(), range }
    }

    #[test]
    fn places_and_ticks_fit_the_scale() {
        let even = axis(Scale::Linear, (0.0, 60.0));
        assert_eq!(even.ticks(6), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0]);
        assert!((even.place(15.0) - 0.25).abs() < 1e-9);
        let log = axis(Scale::Log, (100.0, 1_000_000.0));
        assert_eq!(log.ticks(5), [100.0, 1e3, 1e4, 1e5, 1e6]);
        assert!((log.place(10_000.0) - 0.5).abs() < 1e-9 && log.place(0.0) == 0.0);
        assert!(axis(Scale::Linear, (0.0, 0.0)).place(1.0) == 0.0);
    }

    #[test]
    fn a_line_breaks_where_nothing_is_known() {
        let same = |value: f64| value;
        let points = [(0.0, 1.0), (1.0, f64::NAN), (2.0, 3.0), (3.0, 4.0)];
        assert_eq!(path(&points, &same, &same), "M0.0 1.0M2.0 3.0L3.0 4.0");
    }

    #[test]
    fn names_do_not_become_markup() {
        let chart = Chart {
            id: "x",
            title: "<b>".into(),
            says: "a & b".into(),
            x: axis(Scale::Linear, (0.0, 1.0)),
            y: axis(Scale::Linear, (0.0, 1.0)),
            lines: vec![Line { name: "<script>".into(), points: vec![(0.0, 1.0)] }],
            bars: Vec::new(),
            marks: vec![(0.5, "\"><img>".into())],
            places: vec![(0.0, "'\"<i>".into())],
            table: (vec!["<u>".into()], vec![vec!["<s>".into()]]),
        };
        let figure = chart.figure();
        for markup in ["<b>", "<script>", "<img>", "<i>", "<u>", "<s>"] {
            assert!(!figure.contains(markup), "{markup}: {figure}");
        }
    }
}
