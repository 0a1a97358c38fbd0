//! The figures of a simulation as an SVG, drawn by hand: bars in panels, each with what is expected beside it.

use std::fmt::Write;

use super::{Simulation, measure::Nines};

const WIDTH: f64 = 900.0;
const PANEL: f64 = 260.0;
const LEFT: f64 = 60.0;
const TOP: f64 = 40.0;
/// Height of the tallest bar.
const TALLEST: f64 = 150.0;
const MEASURED: &str = "#2b6cb0";
const EXPECTED: &str = "#cbd5e0";
const LOSS: &str = "#c53030";

/// Bars of one panel, in groups: two lines of what each group is of, and its values.
struct Panel {
    title: &'static str,
    groups: Vec<([String; 2], Vec<Bar>)>,
}

struct Bar {
    value: f64,
    colour: &'static str,
    text: String,
}

/// All panels, one below the other.
pub fn plot(simulation: &Simulation) -> String {
    let panels = [nines(simulation), traffic(simulation), money(simulation), caught(simulation)];
    let height = PANEL * panels.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    for (number, panel) in panels.iter().enumerate() {
        draw(&mut svg, panel, PANEL * number as f64);
    }
    svg += "</svg>\n";
    svg
}

fn bar(value: f64, colour: &'static str, text: String) -> Bar {
    Bar { value, colour, text }
}

fn nines(simulation: &Simulation) -> Panel {
    let group = |run: &super::RunResult| {
        let (nines, expected) = (run.nines(), run.exposure().expected());
        let (Nines::Resolved(value) | Nines::AtLeast(value)) = nines;
        let bars = vec![
            bar(value, MEASURED, nines.to_string()),
            bar(expected.nines, EXPECTED, format!("{:.1}", expected.nines)),
        ];
        ([run.setting.code.to_string(), run.setting.name.to_owned()], bars)
    };
    Panel {
        title: "Nines of an object-year (blue; > where nothing was lost) and what a Markov chain expects (grey)",
        groups: simulation.runs.iter().map(group).collect(),
    }
}

fn traffic(simulation: &Simulation) -> Panel {
    let group = |run: &super::RunResult| {
        let (measured, expected) = (run.traffic(), run.expected_traffic());
        let bars =
            vec![bar(measured, MEASURED, format!("{measured:.1}")), bar(expected, EXPECTED, format!("{expected:.1}"))];
        ([run.setting.code.to_string(), run.setting.name.to_owned()], bars)
    };
    // Where nodes fail every other week, everything moves all the time: another scale.
    Panel {
        title: "Repair traffic in a year, in multiples of the stored user bytes (blue), and what is expected (grey)",
        groups: simulation.runs.iter().filter(|run| run.is_usual()).map(group).collect(),
    }
}

fn money(simulation: &Simulation) -> Panel {
    let group = |earnings: &super::measure::Earnings| {
        let profit = earnings.profit();
        let colour = if profit < 0.0 { LOSS } else { MEASURED };
        let name = earnings.strategy.name();
        let (short, rest) = name.split_once(':').unwrap_or((&name, ""));
        ([short.to_owned(), rest.trim().to_owned()], vec![bar(profit.abs(), colour, format!("{profit:.3}"))])
    };
    Panel {
        title: "Profit in a year for each GiB offered, in obols (red: a loss)",
        groups: simulation.market.earnings.iter().map(group).collect(),
    }
}

fn caught(simulation: &Simulation) -> Panel {
    let group = |caught: &super::caught::Caught| {
        let bars = vec![
            bar(caught.mean, MEASURED, format!("{:.2}", caught.mean)),
            bar(caught.expected(), EXPECTED, format!("{:.2}", caught.expected())),
        ];
        ([format!("{} % dropped", caught.percent), format!("{} trials", caught.trials)], bars)
    };
    Panel {
        title: "Epochs until a provider that silently dropped columns is caught (blue), and what is expected (grey)",
        groups: simulation.caught.iter().map(group).collect(),
    }
}

/// Draws a panel whose upper edge is at `top`.
fn draw(svg: &mut String, panel: &Panel, top: f64) {
    let values = panel.groups.iter().flat_map(|(_, bars)| bars).map(|bar| bar.value);
    let scale = TALLEST / values.fold(f64::MIN_POSITIVE, f64::max);
    let base = top + TOP + TALLEST;
    let step = (WIDTH - LEFT * 2.0) / panel.groups.len().max(1) as f64;
    let mut add = |line: String| writeln!(svg, "{line}").expect("a string takes all");
    add(format!("<text x=\"{LEFT}\" y=\"{:.0}\" font-size=\"13\">{}</text>", top + 20.0, escaped(panel.title)));
    for (number, (name, bars)) in panel.groups.iter().enumerate() {
        let (left, wide) = (LEFT + step * number as f64, step * 0.8 / bars.len().max(1) as f64);
        for (place, Bar { value, colour, text }) in bars.iter().enumerate() {
            let (x, tall) = (left + wide * place as f64, (value * scale).max(0.0));
            let y = base - tall;
            add(format!(
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{tall:.1}\" fill=\"{colour}\"/>",
                wide * 0.9
            ));
            add(format!("<text x=\"{x:.1}\" y=\"{:.1}\">{}</text>", y - 3.0, escaped(text)));
        }
        for (line, word) in name.iter().enumerate() {
            let y = base + 14.0 + 13.0 * line as f64;
            add(format!("<text x=\"{left:.1}\" y=\"{y:.1}\">{}</text>", escaped(word)));
        }
    }
    add(format!("<line x1=\"{LEFT}\" y1=\"{base}\" x2=\"{:.0}\" y2=\"{base}\" stroke=\"black\"/>", WIDTH - LEFT));
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
