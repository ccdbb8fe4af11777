//! Just enough SVG: shapes and text, one a line, with numbers that come out the same everywhere.

use std::fmt::Write;

/// A drawing.
#[derive(Debug, Default)]
pub(crate) struct Svg(String);

/// Width of a character of the monospaced font, in thousandths of the font's size.
const ADVANCE: u32 = 602;

/// How wide a text is.
pub(crate) fn width(text: &str, size: u32) -> u32 {
    (text.chars().count() as u32 * size * ADVANCE).div_ceil(1000)
}

/// How a text stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Font {
    pub(crate) size: u32,
    pub(crate) colour: &'static str,
    pub(crate) bold: bool,
}

impl Svg {
    /// A box with round corners.
    pub(crate) fn rect(&mut self, at: (u32, u32), size: (u32, u32), radius: u32, fill: &str, stroke: &str) {
        let ((x, y), (w, h)) = (at, size);
        self.line(format_args!(
            r#"<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="{radius}" fill="{fill}" stroke="{stroke}"/>"#
        ));
    }

    /// A dot with a rim.
    pub(crate) fn dot(&mut self, (x, y): (u32, u32), radius: u32, fill: &str, stroke: &str) {
        self.line(format_args!(
            r#"<circle cx="{x}" cy="{y}" r="{radius}" fill="{fill}" stroke="{stroke}" stroke-width="3"/>"#
        ));
    }

    /// A stroke along a path.
    pub(crate) fn stroke(&mut self, path: &str, colour: &str, dashed: bool) {
        let dash = if dashed { r#" stroke-dasharray="7 4""# } else { "" };
        self.line(format_args!(
            r#"<path d="{path}" fill="none" stroke="{colour}" stroke-width="4" stroke-linecap="round"{dash}/>"#
        ));
    }

    /// A text, its baseline's left end at a point.
    pub(crate) fn text(&mut self, (x, y): (u32, u32), font: Font, text: &str) {
        let Font { size, colour, bold } = font;
        let weight = if bold { r#" font-weight="bold""# } else { "" };
        let text = escape(text);
        self.line(format_args!(
            r#"<text x="{x}" y="{y}" font-size="{size}" fill="{colour}"{weight} xml:space="preserve">{text}</text>"#
        ));
    }

    /// A text that climbs to the right.
    pub(crate) fn slanted(&mut self, (x, y): (u32, u32), font: Font, text: &str) {
        let Font { size, colour, .. } = font;
        let text = escape(text);
        self.line(format_args!(
            r#"<text transform="translate({x} {y}) rotate(-40)" font-size="{size}" fill="{colour}" font-weight="bold">{text}</text>"#
        ));
    }

    /// The whole file.
    pub(crate) fn finish(self, (w, h): (u32, u32), title: &str) -> String {
        let (title, body) = (escape(title), self.0);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" viewBox=\"0 0 {w} {h}\" \
             font-family=\"'DejaVu Sans Mono', Menlo, Consolas, monospace\">\n<title>{title}</title>\n\
             <rect width=\"{w}\" height=\"{h}\" fill=\"#ffffff\"/>\n{body}</svg>\n"
        )
    }

    fn line(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _always_ok = writeln!(self.0, "{element}");
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
