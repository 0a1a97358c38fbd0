//! Help at every width of a terminal: of every command of both programs, no line is wider than the terminal, and no
//! paragraph was wrapped by hand before it was wrapped again.

use std::{
    path::Path,
    process::{Command, Stdio},
};

const WIDTHS: [usize; 4] = [60, 80, 100, 120];

fn help_of(program: &Path, path: &[String], width: usize) -> String {
    let mut command = Command::new(program);
    command.args(path).arg("--help").env("COLUMNS", width.to_string()).stdin(Stdio::null());
    let output = command.output().expect("the command starts");
    assert!(output.status.success(), "{path:?} --help fails");
    String::from_utf8(output.stdout).expect("help is text")
}

/// The subcommands that a help page lists.
fn subcommands(help: &str) -> Vec<String> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = listed.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").map(str::to_owned).collect()
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Where a page's text begins in a line: in lists of flags and commands, behind two or more spaces.
fn text_column(line: &str) -> usize {
    let start = indent(line);
    line[start..].find("  ").map_or(start, |gap| start + gap + indent(&line[start + gap..]))
}

/// What is wrong with a page: lines over its width, and lines that end where the next word would still have fitted.
fn wrong(help: &str, width: usize) -> Vec<String> {
    // A usage line is one command line, to be copied whole.
    let is_too_wide = |line: &&str| line.chars().count() > width && !line.starts_with("Usage: ");
    let mut wrong: Vec<String> = help.lines().filter(is_too_wide).map(|line| format!("too wide: {line}")).collect();
    let lines: Vec<&str> = help.lines().collect();
    for pair in lines.windows(2) {
        let [line, next] = [pair[0], pair[1]];
        let continues = indent(next) == text_column(line) && !line.trim().is_empty() && !next.trim().is_empty();
        // Examples, lists and values have a line each.
        let starts_item = |text: &str| text.starts_with("ostrakon") || text.starts_with(['-', '[', '<']);
        let text = next.trim_start();
        if !continues || starts_item(text) || line.ends_with(':') || text.contains("  ") || line.contains(" - ") {
            continue;
        }
        let word = text.split_whitespace().next().map_or(0, |word| word.chars().count());
        let is_list = indent(next) == 2 && indent(line) == 2;
        if !is_list && line.chars().count() + 1 + word <= width {
            wrong.push(format!("broken by hand: {line:?} before {next:?}"));
        }
    }
    wrong
}

fn check(program: &Path, path: &[String], found: &mut Vec<String>) {
    let mut subs = Vec::new();
    for width in WIDTHS {
        let help = help_of(program, path, width);
        // Wider than this, help is not wrapped any wider.
        found.extend(wrong(&help, width.min(110)).into_iter().map(|wrong| format!("{path:?} at {width}: {wrong}")));
        subs = subcommands(&help);
    }
    for sub in subs {
        check(program, &[path, &[sub]].concat(), found);
    }
}

#[test]
fn help_reads_well_at_any_width() {
    let binaries = crate::binaries();
    let mut found = Vec::new();
    check(&binaries.client, &[], &mut found);
    check(&binaries.node, &[], &mut found);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn what_is_wrapped_twice_is_found() {
    let good =
        "Text that continues here on\nfor two lines.\n\n  -x, --long <VALUE>  One two\n                      three";
    assert_eq!(wrong(good, 30), Vec::<String>::new());
    let hand = "A line that was\nwrapped by hand.";
    assert_eq!(wrong(hand, 60).len(), 1);
    assert_eq!(wrong("far too wide", 5).len(), 1);
}
