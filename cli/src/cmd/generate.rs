//! `ostrakon generate`: man pages and shell completions, made of the command line itself.

use std::{fs, io, path::Path};

use clap::CommandFactory;
use clap_mangen::Man;
use serde::Serialize;

use crate::{
    args::{Cli, Generate},
    exit::other,
    output::{Output, count_text},
};

#[derive(Debug, Serialize)]
struct Pages {
    directory: String,
    pages: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// When stdout is closed, or the directory cannot be written.
pub(crate) fn run(command: Generate, out: &Output) -> crate::Result<()> {
    match command {
        Generate::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "ostrakon", &mut script);
            Ok(out.raw(&script)?)
        }
        Generate::Man { dir } => {
            let failed = |error| other(format!("cannot write {}: {error}", dir.display()));
            let mut pages = Vec::new();
            let mut root = Cli::command().disable_help_subcommand(true);
            root.build();
            fs::create_dir_all(&dir).and_then(|()| write(&root, "ostrakon", &dir, &mut pages)).map_err(failed)?;
            let object = Pages { directory: dir.display().to_string(), pages };
            out.answer(&object, |_| {
                let count = count_text(u128::try_from(object.pages.len()).unwrap_or(0), "page", "pages");
                format!("wrote {count} to {}", object.directory)
            })?;
            Ok(())
        }
    }
}

/// The page of a command and those of its subcommands, named `ostrakon-devnet-up.1`.
fn write(command: &clap::Command, name: &str, dir: &Path, pages: &mut Vec<String>) -> io::Result<()> {
    let mut page = Vec::new();
    Man::new(command.clone()).title(name.to_uppercase()).render(&mut page)?;
    let file = format!("{name}.1");
    fs::write(dir.join(&file), page)?;
    pages.push(file);
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        write(sub, &format!("{name}-{}", sub.get_name()), dir, pages)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut pages, mut root) = (Vec::new(), Cli::command().disable_help_subcommand(true));
        root.build();
        write(&root, "ostrakon", dir.path(), &mut pages).expect("written");
        for page in ["ostrakon.1", "ostrakon-add.1", "ostrakon-devnet-up.1", "ostrakon-anchor-verify.1"] {
            assert!(pages.iter().any(|name| name == page), "{page} of {pages:?}");
        }
        let page = fs::read_to_string(dir.path().join("ostrakon-name.1")).expect("written");
        assert!(page.contains("Manage names that point to objects"), "{page}");
    }
}
