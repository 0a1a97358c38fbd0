//! The floor: `cp` on the same disk, made durable by `sync`; and `cp` back, which no system here makes durable.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::system::{Object, Start, System};

/// A directory to copy into.
#[derive(Debug)]
pub(crate) struct Copy {
    dir: PathBuf,
}

impl Copy {
    /// Makes the directory.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn start(dir: &Path) -> Result<Start> {
        let dir = dir.join("copies");
        fs::create_dir(&dir)?;
        Ok(Start::Running(Box::new(Self { dir })))
    }

    fn place(&self, source: &Path) -> PathBuf {
        self.dir.join(source.file_name().unwrap_or_default())
    }
}

/// A script with two paths.
fn shell(script: &str, from: &Path, to: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-ec", script, "sh"]).args([from, to]);
    command
}

impl System for Copy {
    fn daemons(&self) -> Result<Vec<u32>> {
        Ok(Vec::new())
    }

    fn stores(&self) -> &Path {
        &self.dir
    }

    fn add(&self, source: &Path) -> Command {
        shell(r#"cp "$1" "$2"; sync "$2""#, source, &self.place(source))
    }

    fn added(&self, source: &Path, _stdout: &[u8]) -> Result<Object> {
        let link = self.place(source).to_str().context("the paths of this program are text")?.to_owned();
        Ok(Object { link, holders: Vec::new() })
    }

    fn get(&self, object: &Object, to: &Path) -> Command {
        let mut command = Command::new("cp");
        command.arg(&object.link).arg(to);
        command
    }

    fn add_directory(&self, source: &Path) -> Command {
        // All of the disk: a sync for each file would be another floor.
        shell(r#"cp -r "$1" "$2"; sync -f "$2""#, source, &self.place(source))
    }

    fn get_directory(&self, object: &Object, to: &Path) -> Result<Command> {
        Ok(shell(r#"cp -r "$1" "$2""#, Path::new(&object.link), to))
    }

    fn lose(&mut self, _object: &Object) -> Result<bool> {
        Ok(false)
    }

    fn recover(&mut self) -> Result<()> {
        Ok(())
    }
}
