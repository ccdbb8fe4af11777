//! The picture: every stage in order, who passes it, what is looked up, what is dropped.
//!
//! ```text
//!   ● │ │        ┌──────────────────────────┐  drops, punts
//!   ├─●─┼─────── │ table  key  actions      │  ▢ ▢ ▢
//!   │ │ ●        └──────────────────────────┘
//! ```
//!
//! Made from sources and P4Info alone and from nothing else, so that the same program gives the same file to the octet.

use crate::info::{self, Table};
use crate::source::{self, PATHS, Paths, Stage};
use crate::svg::{Font, Svg, width};
use crate::{Error, Folder, PICTURE};

const LANE: u32 = 28;
const LANES_LEFT: u32 = 36;
const TOP: u32 = 262;
const CARD_LEFT: u32 = 252;
const CARD_WIDTH: u32 = 566;
const CHIPS_LEFT: u32 = CARD_LEFT + CARD_WIDTH + 18;
const CHIPS_WIDTH: u32 = 400;
const GAP: u32 = 12;
const PAGE: u32 = CHIPS_LEFT + CHIPS_WIDTH + 16;

const INK: &str = "#1f2933";
const GREY: &str = "#64707d";
const RED: &str = "#b42318";
const AMBER: &str = "#9a6700";

/// Colour, dashes and meaning of each lane, in the order of [`PATHS`].
const LANES: [(&str, bool, &str); PATHS.len()] = [
    ("#7b8794", false, "from a network port"),
    ("#1f6feb", false, "director: relay"),
    ("#1a7f37", false, "gateway: LAN to tunnel"),
    ("#8250df", false, "gateway: tunnel to LAN"),
    ("#1a7f37", true, "sealed, second pass"),
    ("#8250df", true, "opened, second pass"),
    ("#bf8700", false, "packet-out from the CPU"),
];

/// Writes the picture into the folder.
pub fn refresh(folder: &Folder) -> Result<(), Error> {
    folder.write(PICTURE, &picture(folder)?)
}

/// The picture of the folder's program, as an SVG file.
pub fn picture(folder: &Folder) -> Result<String, Error> {
    let (stages, tables) = (source::stages(folder)?, info::read(folder)?);
    let cards: Vec<Card> = stages.iter().map(|stage| Card::of(stage, &tables)).collect();
    let mut tops = Vec::new();
    let mut bottom = TOP;
    for card in &cards {
        tops.push(bottom);
        bottom += card.height() + GAP;
    }
    let mut svg = Svg::default();
    heading(&mut svg);
    lanes(&mut svg, &cards, &tops, bottom);
    for (card, top) in cards.iter().zip(&tops) {
        card.draw(&mut svg, *top);
    }
    footer(&mut svg, bottom);
    Ok(svg.finish((PAGE, bottom + 104), "Kith's packet pipeline"))
}

/// What is shown of a stage.
struct Card<'a> {
    stage: &'a Stage,
    lines: Vec<String>,
    /// Rows of chips: words, and whether they go up instead of being dropped.
    chips: Vec<Vec<(&'a str, bool)>>,
}

impl<'a> Card<'a> {
    fn of(stage: &'a Stage, tables: &[Table]) -> Self {
        let table = tables
            .iter()
            .find(|table| stage.is_table && table.name == stage.name);
        let words = stage.drops.iter().map(|word| (word.as_str(), false));
        let words = words.chain(stage.punts.iter().map(|word| (word.as_str(), true)));
        let mut chips: Vec<Vec<(&str, bool)>> = Vec::new();
        let mut room = 0;
        for word in words {
            let needed = chip_width(word.0) + 6;
            if needed > room {
                chips.push(Vec::new());
                room = CHIPS_WIDTH;
            }
            room -= needed;
            if let Some(row) = chips.last_mut() {
                row.push(word);
            }
        }
        Self {
            stage,
            lines: table.map_or_else(|| about(stage), lines),
            chips,
        }
    }

    fn height(&self) -> u32 {
        let text = 32 + 16 * self.lines.len() as u32 + if self.lines.is_empty() { 0 } else { 6 };
        text.max(24 * self.chips.len() as u32 + 8)
    }

    /// Where lanes meet the card.
    fn station(&self, top: u32) -> u32 {
        top + 17
    }

    fn draw(&self, svg: &mut Svg, top: u32) {
        let (fill, rim) = match self.stage.control.as_str() {
            "Relay" => ("#eaf2ff", "#1f6feb"),
            "Gateway" => ("#eaf7ee", "#1a7f37"),
            _ => ("#f6f8fa", "#7b8794"),
        };
        let (rim, fill) = if self.stage.is_table {
            (rim, fill)
        } else {
            ("#c3ccd5", "#ffffff")
        };
        svg.rect((CARD_LEFT, top), (CARD_WIDTH, self.height()), 7, fill, rim);
        let name = Font {
            size: 15,
            colour: INK,
            bold: self.stage.is_table,
        };
        svg.text((CARD_LEFT + 14, top + 22), name, &self.stage.name);
        let kind = if self.stage.is_table { "" } else { "step" };
        let small = Font {
            size: 11,
            colour: GREY,
            bold: false,
        };
        svg.text(
            (CARD_LEFT + CARD_WIDTH - 14 - width(kind, 11), top + 21),
            small,
            kind,
        );
        for (number, line) in (0u32..).zip(&self.lines) {
            let font = Font {
                size: 12,
                colour: if number == 0 { GREY } else { INK },
                bold: false,
            };
            svg.text((CARD_LEFT + 14, top + 41 + 16 * number), font, line);
        }
        for (row, words) in (0u32..).zip(&self.chips) {
            let mut left = CHIPS_LEFT;
            for (word, is_punt) in words {
                let (fill, rim) = if *is_punt {
                    ("#fff8e1", AMBER)
                } else {
                    ("#fdeeec", RED)
                };
                svg.rect((left, top + 5 + 24 * row), (chip_width(word), 20), 10, fill, rim);
                let font = Font {
                    size: 11,
                    colour: rim,
                    bold: false,
                };
                svg.text((left + 9, top + 19 + 24 * row), font, word);
                left += chip_width(word) + 6;
            }
        }
    }
}

/// What a step does, in a line.
fn about(stage: &Stage) -> Vec<String> {
    match (stage.name.as_str(), stage.about.as_str()) {
        ("punt_meter", _) => {
            vec!["What goes up is limited by reason; what is above the rate is dropped".to_owned()]
        }
        (_, "") => Vec::new(),
        (_, text) => vec![text.to_owned()],
    }
}

fn chip_width(word: &str) -> u32 {
    width(word, 11) + 18
}

/// Key, actions, and what is counted, of a table.
fn lines(table: &Table) -> Vec<String> {
    let key: Vec<String> = table
        .key
        .iter()
        .map(|field| match field.kind.as_str() {
            "EXACT" => format!("{}:{}", field.name, field.width),
            kind => format!("{}:{} {}", field.name, field.width, kind.to_lowercase()),
        })
        .collect();
    let with = match (table.counted, table.metered) {
        (true, _) => "  counter",
        (_, true) => "  meter",
        _ => "",
    };
    let key = match table.key.as_slice() {
        [] => "no key: its default action".to_owned(),
        [first, rest @ ..] if first.kind == "TERNARY" && rest.iter().all(|field| field.kind == "TERNARY") => {
            let names: Vec<String> = table
                .key
                .iter()
                .map(|field| format!("{}:{}", field.name, field.width))
                .collect();
            return std::iter::once("ternary, first match".to_owned())
                .chain(wrapped("", &names, ", ", ""))
                .chain(actions(table))
                .collect();
        }
        _ => key.join(", "),
    };
    std::iter::once(format!("{key}{with}"))
        .chain(actions(table))
        .collect()
}

fn actions(table: &Table) -> impl Iterator<Item = String> {
    table.actions.iter().flat_map(|action| {
        let parameters: Vec<String> = action
            .parameters
            .iter()
            .map(|(name, bits)| format!("{name}:{bits}"))
            .collect();
        wrapped(&format!("{}(", action.name), &parameters, ", ", ")")
    })
}

/// Words in lines that a card has room for; lines after the first are set in.
fn wrapped(before: &str, words: &[String], between: &str, after: &str) -> Vec<String> {
    let mut lines = vec![before.to_owned()];
    for (number, word) in words.iter().enumerate() {
        let end = if number + 1 == words.len() { after } else { between };
        let piece = format!("{word}{end}");
        match lines.last_mut() {
            Some(last) if width(&format!("{last}{piece}"), 12) + 28 <= CARD_WIDTH => last.push_str(&piece),
            _ => lines.push(format!("  {piece}")),
        }
    }
    if words.is_empty()
        && let Some(last) = lines.last_mut()
    {
        last.push_str(after);
    }
    lines
}

fn lane(place: usize) -> u32 {
    LANES_LEFT + LANE * place as u32
}

/// Each path's line, from where it begins to where it ends, with a dot on every stage that it passes.
fn lanes(svg: &mut Svg, cards: &[Card<'_>], tops: &[u32], bottom: u32) {
    let stations: Vec<u32> = cards
        .iter()
        .zip(tops)
        .map(|(card, top)| card.station(*top))
        .collect();
    // What undecided packets become, they become at these stages; behind the last of them there are no undecided ones.
    let mut undecided_until = TOP;
    for (place, (colour, dashed, _)) in LANES.iter().enumerate() {
        let x = lane(place);
        let first = cards
            .iter()
            .zip(&stations)
            .find(|(card, _)| place != 0 && forks(card.stage, place));
        match first {
            Some((_, &y)) => {
                undecided_until = undecided_until.max(y + 24);
                let from = lane(0);
                svg.stroke(
                    &format!("M{from} {y} C{from} {} {x} {} {x} {}", y + 20, y + 4, y + 24),
                    colour,
                    *dashed,
                );
                svg.stroke(&format!("M{x} {} V{}", y + 24, bottom + 6), colour, *dashed);
            }
            None if place != 0 => svg.stroke(&format!("M{x} {} V{}", TOP - 18, bottom + 6), colour, *dashed),
            None => {}
        }
    }
    let x = lane(0);
    svg.stroke(
        &format!("M{x} {} V{}", TOP - 18, undecided_until - 24),
        LANES[0].0,
        false,
    );
    for (card, &y) in cards.iter().zip(&stations) {
        let passing: Vec<usize> = (0..PATHS.len())
            .filter(|place| on(card.stage, *place, y, undecided_until))
            .collect();
        if let (Some(first), Some(_)) = (passing.first(), passing.last()) {
            svg.stroke(&format!("M{} {y} H{CARD_LEFT}", lane(*first)), "#d5dce3", false);
        }
        for place in passing {
            svg.dot((lane(place), y), 6, "#ffffff", LANES[place].0);
        }
    }
}

/// Does a path that comes from a network port begin at this stage? Second passes and injected packets begin outside.
fn forks(stage: &Stage, place: usize) -> bool {
    let outside = ["SEALED", "OPENED", "INJECTED"].contains(&PATHS[place]);
    !outside && stage.begins.has(place)
}

/// Is there a dot on this lane at this stage?
fn on(stage: &Stage, place: usize, y: u32, undecided_until: u32) -> bool {
    let Paths(all) = Paths::ALL;
    let decided_later = (1..=3).contains(&place) && y < undecided_until;
    stage.paths.has(place) && !decided_later && (place != 0 || y < undecided_until) && all != 0
}

fn heading(svg: &mut Svg) {
    let big = Font {
        size: 22,
        colour: INK,
        bold: true,
    };
    svg.text((LANES_LEFT - 10, 40), big, "Kith's packet pipeline");
    let plain = Font {
        size: 12,
        colour: GREY,
        bold: false,
    };
    svg.text(
        (LANES_LEFT - 10, 62),
        plain,
        "Tables and steps of p4/kith.p4 in their order; made by `kith-p4 draw`.",
    );
    for (place, (colour, _, meaning)) in LANES.iter().enumerate() {
        let font = Font {
            size: 12,
            colour,
            bold: true,
        };
        svg.slanted((lane(place) + 3, TOP - 26), font, meaning);
    }
    let legend = [
        ("table of both roles", "#f6f8fa", "#7b8794"),
        ("of the director", "#eaf2ff", "#1f6feb"),
        ("of the gateway", "#eaf7ee", "#1a7f37"),
        ("dropped, counted", "#fdeeec", RED),
        ("to the CPU", "#fff8e1", AMBER),
    ];
    let mut left = CARD_LEFT + 168;
    for (text, fill, rim) in legend {
        svg.rect((left, TOP - 48), (16, 16), 4, fill, rim);
        svg.text(
            (left + 22, TOP - 36),
            Font {
                size: 12,
                colour: INK,
                bold: false,
            },
            text,
        );
        left += width(text, 12) + 40;
    }
}

fn footer(svg: &mut Svg, bottom: u32) {
    let font = Font {
        size: 12,
        colour: GREY,
        bold: false,
    };
    let at = bottom + 10;
    for (place, (colour, ..)) in LANES.iter().enumerate().skip(1) {
        let end = match PATHS[place] {
            "ENCAP" => "seal",
            "DECAP" => "open",
            _ => "out",
        };
        svg.rect((lane(place) - 13, at), (26, 20), 5, "#ffffff", colour);
        svg.text(
            (lane(place) - width(end, 9) / 2, at + 13),
            Font {
                size: 9,
                colour,
                bold: true,
            },
            end,
        );
    }
    let notes = [
        "LAN to tunnel: to the crypto block, which seals; comes back as `sealed` and leaves by egress_port.",
        "tunnel to LAN: to the crypto block, which opens; comes back as `opened` and leaves by egress_port.",
        "relay, sealed, opened, packet-out: to the port of egress_port. Dropped by the crypto block: esp_*, counted by it.",
        "Each packet dropped adds 1 to counter `drops`, each one to the CPU 1 to `punts`, both by the reason's number.",
    ];
    for (number, note) in (0u32..).zip(notes) {
        svg.text((CARD_LEFT, at + 17 + 20 * number), font, note);
    }
}
