//! What is done with every system, in rounds: fresh random files added and fetched back, with all holders alive and
//! with as many dead as it survives; a directory of small files; and parts of a large file. Every byte is compared.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use ostrakon_benches::run::{self, Failed, Idle};
use ostrakon_tests::process::{Outcome, say};

use crate::{
    content,
    figures::{Figures, Key, Operation, Sample},
    options::Options,
    system::{Object, Start, System, Which},
    table::bytes_text,
};

/// What is added and fetched before anything counts: connections, caches and allocators are then what they stay.
const WARM_UP: u64 = 16 << 20;
/// The part of a large file that is fetched from its middle.
const RANGE: u64 = 1 << 20;
/// No system here stores more for each byte that it is given.
const STORED_MAX: u64 = 4;
/// The exit code of our command when it was asked for what it cannot do.
const USAGE: i32 = 2;

/// How to measure any system.
#[derive(Debug)]
pub(crate) struct Rounds<'a> {
    options: &'a Options,
    home: &'a Path,
}

impl<'a> Rounds<'a> {
    /// In the directory `home`, which must have room for the largest file.
    ///
    /// # Errors
    /// When it has not.
    pub(crate) fn new(options: &'a Options, home: &'a Path) -> Result<Self> {
        let (rounds, largest) = (u64::from(options.rounds), options.sizes.iter().max().copied().unwrap_or(0));
        // Each system keeps all rounds of a size; the file and what is fetched of it lie beside.
        content::expect_room(home, largest.saturating_mul(STORED_MAX * rounds + 2))?;
        Ok(Self { options, home })
    }

    /// Measures a system: each size on a network of its own, then the directory. Prints that it is absent, if it is.
    ///
    /// # Errors
    /// When it does not start, a command fails, or bytes differ. What was measured before is kept.
    pub(crate) fn measure(&self, which: Which, figures: &mut Figures) -> Result<()> {
        for size in self.options.sizes.iter().copied().filter(|size| *size > 0) {
            let Some(mut stage) = self.stage(which, size)? else { return Ok(()) };
            let is_largest = self.options.sizes.iter().all(|other| *other <= size);
            for round in 1..=self.options.rounds {
                say(&format!("==> {which}: {} round {round} of {}", bytes_text(size), self.options.rounds));
                stage.file(&format!("file-{round}"), is_largest, figures)?;
            }
        }
        if self.options.files > 0 {
            let Some(mut stage) = self.stage(which, u64::from(self.options.files) * content::SMALL_FILE)? else {
                return Ok(());
            };
            for round in 1..=self.options.rounds {
                say(&format!("==> {which}: {} files, round {round} of {}", self.options.files, self.options.rounds));
                if !stage.directory(&format!("directory-{round}"), self.options.files, figures)? {
                    say(&format!("{which}: skipped the directory: `ostrakon add` takes none here"));
                    break;
                }
            }
        }
        Ok(())
    }

    /// A fresh network of a system, warmed up; none when it is absent.
    fn stage(&self, which: Which, size: u64) -> Result<Option<Stage>> {
        let home = self.home.join("stage");
        fs::create_dir(&home).with_context(|| format!("cannot make {}", home.display()))?;
        let home = Home(home);
        say(&format!("==> {which}: starts"));
        let system = match which.start(&home.0, self.options)? {
            Start::Running(system) => system,
            Start::Absent(why) => {
                say(&format!("{which}: absent, left out ({why})"));
                return Ok(None);
            }
        };
        let mut stage = Stage { which, size: WARM_UP, system, home };
        let source = stage.path("warm-up");
        content::make_file(&source, WARM_UP)?;
        let mut uncounted = Figures::default();
        let object = stage.add(&source, Operation::Add, &mut uncounted)?;
        stage.get(&source, &object, Operation::Get, &mut uncounted)?;
        fs::remove_file(&source)?;
        stage.size = size;
        Ok(Some(stage))
    }
}

/// A directory that goes with the value.
struct Home(PathBuf);

impl Drop for Home {
    fn drop(&mut self) {
        // What cannot be deleted now goes with the whole temporary directory.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A system that runs, and a directory for its files. The system is dropped, and so ended, before the directory.
struct Stage {
    which: Which,
    /// Bytes of the objects.
    size: u64,
    system: Box<dyn System>,
    home: Home,
}

impl Stage {
    fn path(&self, name: &str) -> PathBuf {
        self.home.0.join(name)
    }

    /// Adds a fresh file and fetches it in every way.
    fn file(&mut self, name: &str, parts: bool, figures: &mut Figures) -> Result<()> {
        let source = self.path(name);
        content::make_file(&source, self.size)?;
        let object = self.add(&source, Operation::Add, figures)?;
        self.get(&source, &object, Operation::Get, figures)?;
        if parts {
            self.parts(&source, &object, figures)?;
        }
        if self.system.lose(&object)? {
            self.get(&source, &object, Operation::GetAfterLosses, figures)?;
            self.system.recover()?;
        }
        fs::remove_file(&source)?;
        Ok(())
    }

    /// Adds and fetches a fresh directory; `false` when the system takes none.
    fn directory(&mut self, name: &str, files: u32, figures: &mut Figures) -> Result<bool> {
        let source = self.path(name);
        content::make_directory(&source, files)?;
        let object = match self.add(&source, Operation::AddDirectory, figures) {
            Err(error) if self.takes_none(&error) => return Ok(false),
            added => added?,
        };
        self.get(&source, &object, Operation::GetDirectory, figures)?;
        fs::remove_dir_all(&source)?;
        Ok(true)
    }

    fn takes_none(&self, error: &anyhow::Error) -> bool {
        let refused = error.downcast_ref::<Failed>().is_some_and(|failed| failed.0.code == Some(USAGE));
        refused && Which::OURS.contains(&self.which)
    }

    fn add(&self, source: &Path, operation: Operation, figures: &mut Figures) -> Result<Object> {
        let command = match operation {
            Operation::AddDirectory => self.system.add_directory(source),
            _ => self.system.add(source),
        };
        let (daemons, idle) = self.calm()?;
        let before = content::allocated_bytes(self.system.stores())?;
        let (outcome, cost) = run::measure(command, &daemons, idle)?;
        let after = content::allocated_bytes(self.system.stores())?;
        let sample = Sample { stored_bytes: Some(after.saturating_sub(before)), ..cost.into() };
        self.keep(operation, sample, figures);
        self.system.added(source, &outcome.stdout)
    }

    fn get(&self, source: &Path, object: &Object, operation: Operation, figures: &mut Figures) -> Result<()> {
        let to = self.path("fetched");
        let is_directory = operation == Operation::GetDirectory;
        let command = if is_directory { self.system.get_directory(object, &to)? } else { self.system.get(object, &to) };
        let (daemons, idle) = self.calm()?;
        let (outcome, cost) = run::measure(command, &daemons, idle)?;
        let sample = Sample { fetched_bytes: self.system.fetched_bytes(&outcome), ..cost.into() };
        self.keep(operation, sample, figures);
        if is_directory {
            content::expect_same_directory(source, &to)?;
            fs::remove_dir_all(&to)?;
        } else {
            content::expect_same_file(source, &to)?;
            fs::remove_file(&to)?;
        }
        Ok(())
    }

    /// The first byte, and a range from the middle.
    fn parts(&self, source: &Path, object: &Object, figures: &mut Figures) -> Result<()> {
        let start = self.size / 2;
        let range = start..self.size.min(start + RANGE);
        if let Some(command) = self.system.cat(object, Some(range)) {
            let outcome = self.part(command, Operation::Range, figures)?;
            content::expect_same_range(source, start, &outcome.stdout)?;
        }
        if let (Some(all), Some(first)) = (self.system.cat(object, None), self.system.cat(object, Some(0..1))) {
            self.calm()?;
            let seconds = run::first_byte(all)?;
            // Ended in the middle it could not say what it fetched for that; asked for one byte alone it can.
            let outcome = run::run(first)?;
            content::expect_same_range(source, 0, &outcome.stdout)?;
            let fetched_bytes = self.system.fetched_bytes(&outcome);
            self.keep(Operation::FirstByte, Sample { seconds, fetched_bytes, ..Sample::default() }, figures);
        }
        Ok(())
    }

    fn part(&self, command: Command, operation: Operation, figures: &mut Figures) -> Result<Outcome> {
        let (daemons, idle) = self.calm()?;
        let (outcome, cost) = run::measure(command, &daemons, idle)?;
        let sample = Sample { fetched_bytes: self.system.fetched_bytes(&outcome), ..cost.into() };
        self.keep(operation, sample, figures);
        Ok(outcome)
    }

    /// Waits until nothing is left to do of what was before; returns the daemons, and how they are then.
    fn calm(&self) -> Result<(Vec<u32>, Idle)> {
        content::settle_disk();
        let daemons = self.system.daemons()?;
        let idle = run::idle(&daemons)?;
        Ok((daemons, idle))
    }

    fn keep(&self, operation: Operation, sample: Sample, figures: &mut Figures) {
        let cpu = sample.cpu_seconds.map_or_else(String::new, |cpu| format!(", {cpu:.2} CPU s"));
        say(&format!("    {operation:?}: {:.3} s{cpu}", sample.seconds));
        figures.add(Key { system: self.which, object_bytes: self.size, operation }, sample);
    }
}
