//! Progress bars, on a terminal only, fed by the SDK's events; and messages for the few events that need one.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ostrakon::{Event, Events};

use crate::output::{Output, count_text};

/// How often the spinner moves.
const TICK: Duration = Duration::from_millis(100);

/// A bar for one operation. Dropping it takes it off the terminal.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar labelled with what is being done; hidden where stderr is not a terminal.
    pub(crate) fn new(word: &'static str, out: &Output) -> Self {
        let bar = ProgressBar::no_length().with_message(word);
        if !out.shows_progress() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        bar.set_style(open_style());
        Self { bar }
    }

    /// A spinner without figures.
    pub(crate) fn waiting(word: &'static str, out: &Output) -> Self {
        let waiting = Self::new(word, out);
        waiting.bar.set_style(ProgressStyle::default_spinner());
        waiting.bar.enable_steady_tick(TICK);
        waiting
    }

    /// What is called with the SDK's events.
    pub(crate) fn listener(&self, out: &Output) -> impl Fn(Event) + Send + Sync + 'static {
        let (bar, out) = (self.bar.clone(), out.clone());
        move |event| show(&bar, &out, &event)
    }

    /// The listener for the SDK's events.
    pub(crate) fn events(&self, out: &Output) -> Events {
        Events::to(self.listener(out))
    }

    /// Runs `print` while the bar is off the terminal.
    pub(crate) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn show(bar: &ProgressBar, out: &Output, event: &Event) {
    if let Event::Progress { done, total } = event {
        if let Some(total) = total.filter(|total| bar.length() != Some(*total)) {
            bar.set_length(total);
            bar.set_style(closed_style());
        }
        bar.set_position(*done);
    }
    if let Some(text) = sign(event) {
        bar.set_message(text);
    }
    if let Some(text) = words(event) {
        bar.suspend(|| out.words(&text));
    }
}

/// The bar's label from now on.
fn sign(event: &Event) -> Option<String> {
    match event {
        Event::Pending { tx, height } => {
            Some(format!("transaction {:.8}.. is pending, newest block {height}", tx.to_string()))
        }
        Event::Included { height } => Some(format!("in block {height}")),
        _ => None,
    }
}

/// What a person should know even when the operation succeeds.
fn words(event: &Event) -> Option<String> {
    match event {
        // The reason names the holder.
        Event::HolderFailed { index, reason, .. } => Some(format!("the holder of column {index} failed: {reason}")),
        Event::TooNew { until, height } => Some(format!(
            "the account is new: it can draw holders from block {until} on, and the network is at block {height}"
        )),
        Event::Resumed { rows: 0 } => None,
        Event::Resumed { .. } => Some("resuming an earlier run of this add".to_owned()),
        Event::Restarted { why } => Some(format!("{why}: starting over with a new key")),
        Event::Rebuilding { columns, .. } => Some(format!("rebuilding {} for other holders", count(*columns))),
        _ => None,
    }
}

fn count(columns: usize) -> String {
    count_text(u128::try_from(columns).unwrap_or(0), "column", "columns")
}

fn open_style() -> ProgressStyle {
    ProgressStyle::with_template("{msg} {spinner} {bytes}  {bytes_per_sec}")
        .expect("the template is a constant that parses")
}

fn closed_style() -> ProgressStyle {
    let template = "{msg} {bar:32.green/dim} {bytes}/{total_bytes}  {bytes_per_sec}  {eta}";
    ProgressStyle::with_template(template).expect("the template is a constant that parses")
}

#[cfg(test)]
mod tests {
    use ostrakon::{Height, NodeId, TxId};

    use super::*;

    #[test]
    fn only_what_went_wrong_gets_words() {
        assert_eq!(words(&Event::Progress { done: 1, total: None }), None);
        let failed =
            Event::HolderFailed { extent: 0, index: 3, provider: NodeId::new([1; 32]), reason: "full".to_owned() };
        let text = words(&failed).expect("has words");
        assert_eq!(text, "the holder of column 3 failed: full");
    }

    #[test]
    fn who_waits_for_a_block_sees_it() {
        let waits = Event::Pending { tx: TxId::new([0xab; 32]), height: Height(7) };
        assert_eq!(sign(&waits).expect("is shown"), "transaction abababab.. is pending, newest block 7");
        assert_eq!(words(&waits), None, "once every two seconds is too often for a message");
    }

    #[test]
    fn the_styles_parse() {
        let _ = (open_style(), closed_style());
    }
}
