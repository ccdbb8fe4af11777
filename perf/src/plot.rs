//! The figures as a picture: how each stands to its goal.

use crate::BenchError;
use crate::report::{Goal, Report, Row};
use plotters::prelude::*;
use std::path::Path;

/// Draws the rows that have a figure and a goal: a dot for the median and a line from the 10 to the 90 % quantile, all
/// as multiples of what is to be reached, better to the left.
pub fn draw(report: &Report, path: &Path) -> Result<(), BenchError> {
    let bars: Vec<_> = report.rows.iter().filter_map(Bar::of).collect();
    let height = 90 + 34 * bars.len() as u32;
    let area = SVGBackend::new(path, (1100, height)).into_drawing_area();
    paint(&area, &bars).map_err(|error| BenchError::Plot(error.to_string()))
}

/// What is farther from its goal than this is drawn at the edge.
const CUT: f64 = 4.0;

struct Bar {
    label: String,
    median: f64,
    least: f64,
    most: f64,
}

impl Bar {
    fn of(row: &Row) -> Option<Self> {
        let figure = row.result.as_ref().ok()?;
        // Better to the left, whichever way the goal looks.
        let of_goal = |value: f64| match row.goal {
            Some(Goal::AtMost { reach, .. }) => Some(value / reach),
            Some(Goal::AtLeast { reach, .. }) => Some(reach / value),
            None => None,
        };
        let (a, b) = (of_goal(figure.p10)?, of_goal(figure.p90)?);
        let label = format!("{} {}", row.id, row.what);
        let median = of_goal(figure.median)?;
        median.is_finite().then_some(Self {
            label,
            median,
            least: a.min(b),
            most: a.max(b),
        })
    }
}

fn paint<B: DrawingBackend>(
    area: &DrawingArea<B, plotters::coord::Shift>,
    bars: &[Bar],
) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    area.fill(&WHITE)?;
    let most = bars.iter().map(|bar| bar.most.min(CUT)).fold(1.5, f64::max);
    // Labels have 45 % of the width to themselves.
    let left = -most * 0.45 / 0.55;
    let count = bars.len() as f64;
    let mut chart = ChartBuilder::on(area)
        .caption(
            format!("Measured ÷ goal: left of 1 is reached; cut off at {CUT}"),
            ("sans-serif", 18),
        )
        .margin(12)
        .x_label_area_size(30)
        .build_cartesian_2d(left..most, count..-0.5)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .x_label_formatter(&|value| {
            if *value < 0.0 {
                String::new()
            } else {
                format!("{value:.1}")
            }
        })
        .draw()?;
    chart.draw_series([PathElement::new(
        [(1.0, count), (1.0, -0.5)],
        BLACK.stroke_width(1),
    )])?;
    for (place, bar) in bars.iter().enumerate() {
        let at = place as f64 + 0.3;
        let color = if bar.median <= 1.0 {
            RGBColor(0, 110, 80)
        } else {
            RGBColor(190, 60, 20)
        };
        let clip = |value: f64| value.clamp(0.0, most);
        chart.draw_series([PathElement::new(
            [(clip(bar.least), at), (clip(bar.most), at)],
            color.stroke_width(3),
        )])?;
        chart.draw_series([Circle::new((clip(bar.median), at), 5, color.filled())])?;
        let style = ("sans-serif", 13).into_font().color(&BLACK);
        chart.draw_series([Text::new(bar.label.clone(), (left * 0.99, at - 0.2), style)])?;
    }
    area.present()
}
