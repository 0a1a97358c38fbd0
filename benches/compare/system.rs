//! What is compared: the systems by name, and what each must be able to do. A [`System`] is a running network of real
//! processes; it makes commands, which others run and measure, and ends its processes when it is dropped.

use std::{fmt, ops::Range, path::Path, process::Command};

use anyhow::Result;
use clap::ValueEnum;
use ostrakon_tests::process::Outcome;
use serde::Serialize;

use crate::{copy::Copy, garage::Garage, options::Options, ostrakon::Ostrakon, tahoe::Tahoe};

/// The systems, in the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Which {
    /// `cp` and `sync`: the floor
    Copy,
    /// Ours, any 4 of 12 columns, 14 nodes
    #[value(name = "ostrakon-4-12")]
    #[serde(rename = "ostrakon-4-12")]
    Ostrakon12,
    /// Ours, any 4 of 6 columns, 6 nodes
    #[value(name = "ostrakon-4-6")]
    #[serde(rename = "ostrakon-4-6")]
    Ostrakon6,
    /// Tahoe-LAFS, any 3 of 10 shares, 10 nodes
    Tahoe,
    /// Garage, 3 copies, 3 nodes, by rclone
    Garage,
}

impl Which {
    /// All of them.
    pub(crate) const ALL: [Self; 5] = [Self::Copy, Self::Ostrakon12, Self::Ostrakon6, Self::Tahoe, Self::Garage];

    /// Those of ours.
    pub(crate) const OURS: [Self; 2] = [Self::Ostrakon12, Self::Ostrakon6];

    /// How many holders [`System::lose`] takes away, of how many.
    pub(crate) fn losses(self) -> &'static str {
        match self {
            Self::Copy => "0 of 1",
            Self::Ostrakon12 => "8 of 12",
            Self::Ostrakon6 => "2 of 6",
            Self::Tahoe => "7 of 10",
            Self::Garage => "1 of 3",
        }
    }

    /// Starts it in the empty directory `dir`.
    ///
    /// # Errors
    /// When it is there but does not start.
    pub(crate) fn start(self, dir: &Path, options: &Options) -> Result<Start> {
        match self {
            Self::Copy => Copy::start(dir),
            Self::Ostrakon12 => Ostrakon::start(dir, &crate::ostrakon::WIDE),
            Self::Ostrakon6 => Ostrakon::start(dir, &crate::ostrakon::NARROW),
            Self::Tahoe => Tahoe::start(dir, &options.peers()?),
            Self::Garage => Garage::start(dir, &options.peers()?),
        }
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Copy => "cp + sync",
            Self::Ostrakon12 => "ostrakon 4/12",
            Self::Ostrakon6 => "ostrakon 4/6",
            Self::Tahoe => "Tahoe 3-of-10",
            Self::Garage => "Garage x3",
        })
    }
}

/// The result of starting a system.
pub(crate) enum Start {
    /// It runs and is warm enough to be asked.
    Running(Box<dyn System>),
    /// It is not installed; with what to do about that.
    Absent(String),
}

/// Something that was added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Object {
    /// By what it is fetched.
    pub(crate) link: String,
    /// Its holders, those of the data before those of the parity, where the system tells.
    pub(crate) holders: Vec<String>,
}

/// A system that runs.
pub(crate) trait System {
    /// The processes of the daemons that run now.
    ///
    /// # Errors
    /// When they cannot be listed.
    fn daemons(&self) -> Result<Vec<u32>>;

    /// The directory in which all daemons together keep everything.
    fn stores(&self) -> &Path;

    /// Adds a file.
    fn add(&self, source: &Path) -> Command;

    /// What [`System::add`] or [`System::add_directory`] added, which wrote this to stdout.
    ///
    /// # Errors
    /// When it wrote something unexpected.
    fn added(&self, source: &Path, stdout: &[u8]) -> Result<Object>;

    /// Fetches a file to `to`, where nothing is.
    fn get(&self, object: &Object, to: &Path) -> Command;

    /// Adds a directory, whose name was never added before.
    fn add_directory(&self, source: &Path) -> Command;

    /// Fetches a directory to `to`, where nothing is.
    ///
    /// # Errors
    /// When `to` cannot be prepared.
    fn get_directory(&self, object: &Object, to: &Path) -> Result<Command>;

    /// Writes a range of a file to stdout, if there is a command for that.
    fn cat(&self, _object: &Object, _range: Option<Range<u64>>) -> Option<Command> {
        None
    }

    /// The bytes that the network sent for a command, if it told.
    fn fetched_bytes(&self, _outcome: &Outcome) -> Option<u64> {
        None
    }

    /// Kills as many of the object's holders as it must survive the loss of; `false` when it survives none.
    ///
    /// # Errors
    /// When they cannot be killed.
    fn lose(&mut self, object: &Object) -> Result<bool>;

    /// Starts again what was killed, and waits until it is whole.
    ///
    /// # Errors
    /// When it does not come up.
    fn recover(&mut self) -> Result<()>;
}
