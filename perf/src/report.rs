//! What is printed: one row a figure, with its goal and whether it was reached.

use crate::BenchError;
use crate::measure::Summary;
use comfy_table::{ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};
use serde::Serialize;
use std::path::Path;

/// What a figure should be; see the performance goals.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// Less is better.
    AtMost {
        /// Now.
        reach: f64,
        /// Later.
        then: Option<f64>,
    },
    /// More is better.
    AtLeast {
        /// Now.
        reach: f64,
        /// Later.
        then: Option<f64>,
    },
}

/// Where a figure stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The goal of today is reached.
    Reached,
    /// That of tomorrow, too.
    Beyond,
    /// It is not.
    Missed,
    /// There is none for this figure.
    Informative,
    /// There is no figure.
    NotRun,
}

/// One figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The goal's number.
    pub id: &'static str,
    /// What was measured.
    pub what: String,
    /// Unit of the figure; empty for a ratio.
    pub unit: &'static str,
    /// The figure.
    pub result: Result<Summary, String>,
    /// What it should be.
    pub goal: Option<Goal>,
    /// What else to know.
    pub note: String,
}

impl Row {
    /// A row with a figure.
    #[must_use]
    pub fn measured(id: &'static str, what: impl Into<String>, unit: &'static str, figure: Summary) -> Self {
        Self {
            id,
            what: what.into(),
            unit,
            result: Ok(figure),
            goal: None,
            note: String::new(),
        }
    }

    /// A row for what could not be measured, and what to do about it.
    #[must_use]
    pub fn not_run(id: &'static str, what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            id,
            what: what.into(),
            unit: "",
            result: Err(reason.into()),
            goal: None,
            note: String::new(),
        }
    }

    /// With a goal.
    #[must_use]
    pub fn goal(mut self, goal: Goal) -> Self {
        self.goal = Some(goal);
        self
    }

    /// With a note.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// Is the goal reached by the median?
    #[must_use]
    pub fn standing(&self) -> Standing {
        let Ok(figure) = &self.result else {
            return Standing::NotRun;
        };
        let (reached, beyond) = match self.goal {
            None => return Standing::Informative,
            Some(Goal::AtMost { reach, then }) => (
                figure.median <= reach,
                then.is_some_and(|then| figure.median <= then),
            ),
            Some(Goal::AtLeast { reach, then }) => (
                figure.median >= reach,
                then.is_some_and(|then| figure.median >= then),
            ),
        };
        match (reached, beyond) {
            (true, true) => Standing::Beyond,
            (true, false) => Standing::Reached,
            (false, _) => Standing::Missed,
        }
    }
}

/// All rows, and under which circumstances they came to be.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The processor.
    pub processor: String,
    /// Pairs and slice.
    pub plan: String,
    /// Processes that wanted to run when it began: load average of the last minute.
    pub load: String,
    /// The figures.
    pub rows: Vec<Row>,
}

impl Report {
    /// For people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut table = Table::new();
        table
            .load_style(UTF8_FULL_CONDENSED)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_header(["id", "what", "median [10 %, 90 %]", "reach, then", "", "note"]);
        for row in &self.rows {
            let figure = match &row.result {
                Ok(of) => format!(
                    "{} [{}, {}] {}",
                    short(of.median),
                    short(of.p10),
                    short(of.p90),
                    row.unit
                ),
                Err(reason) => format!("not run: {reason}"),
            };
            let standing = match row.standing() {
                Standing::Reached => "reached",
                Standing::Beyond => "reached, then too",
                Standing::Missed => "MISSED",
                Standing::Informative => "",
                Standing::NotRun => "not run",
            };
            table.add_row([
                row.id,
                &row.what,
                figure.trim_end(),
                &row.goal.map_or_else(String::new, |goal| goal.to_string()),
                standing,
                &row.note,
            ]);
        }
        format!(
            "{}; {}; load {}\nmedians of pairs of interleaved slices, with the 10 and 90 % quantiles; cycles are TSC cycles a packet\n{table}",
            self.processor, self.plan, self.load
        )
    }

    /// For programs.
    pub fn json(&self) -> String {
        let rows = self.rows.iter().map(|row| {
            serde_json::json!({
                "id": row.id,
                "what": row.what,
                "unit": row.unit,
                "result": row.result.as_ref().ok(),
                "not_run": row.result.as_ref().err(),
                "goal": row.goal,
                "standing": row.standing(),
                "note": row.note,
            })
        });
        let whole = serde_json::json!({
            "processor": self.processor,
            "plan": self.plan,
            "load": self.load,
            "rows": rows.collect::<Vec<_>>(),
        });
        format!("{whole:#}")
    }

    /// Writes the JSON where it is found again.
    pub fn save(&self, path: &Path) -> Result<(), BenchError> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(BenchError::io(format!("{}", folder.display())))?;
        }
        std::fs::write(path, self.json()).map_err(BenchError::io(format!("{}", path.display())))
    }

    /// Does any row stand so?
    #[must_use]
    pub fn any(&self, standing: Standing) -> bool {
        self.rows.iter().any(|row| row.standing() == standing)
    }
}

impl std::fmt::Display for Goal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (sign, reach, then) = match self {
            Self::AtMost { reach, then } => ("≤", reach, then),
            Self::AtLeast { reach, then } => ("≥", reach, then),
        };
        write!(f, "{sign} {}", short(*reach))?;
        then.map_or(Ok(()), |then| write!(f, ", {sign} {}", short(then)))
    }
}

/// Three or four digits, as many as mean something here.
fn short(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(value: f64, goal: Goal) -> Row {
        Row::measured("P0", "a test", "", Summary::of(vec![value])).goal(goal)
    }

    #[test]
    fn goals_are_compared_in_their_direction() {
        let most = Goal::AtMost {
            reach: 60.0,
            then: Some(35.0),
        };
        assert_eq!(row(61.0, most).standing(), Standing::Missed);
        assert_eq!(row(60.0, most).standing(), Standing::Reached);
        assert_eq!(row(35.0, most).standing(), Standing::Beyond);
        let least = Goal::AtLeast {
            reach: 0.8,
            then: None,
        };
        assert_eq!(row(0.79, least).standing(), Standing::Missed);
        assert_eq!(row(0.8, least).standing(), Standing::Reached);
        assert_eq!(
            row(f64::NAN, most).standing(),
            Standing::Missed,
            "no figure reaches nothing"
        );
    }

    #[test]
    fn what_was_not_run_says_why_in_table_and_json() {
        let report = Report {
            processor: "a processor".into(),
            plan: "1 pair".into(),
            load: "0".into(),
            rows: vec![Row::not_run("P1", "ours ÷ testpmd", "install dpdk-dev")],
        };
        assert!(report.table().contains("install dpdk-dev"));
        assert!(report.json().contains("\"not_run\": \"install dpdk-dev\""));
        assert!(report.any(Standing::NotRun) && !report.any(Standing::Missed));
    }
}
