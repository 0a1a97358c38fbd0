//! `volume`: the disks on which the node of a data directory stores columns. The list is changed while the node is
//! stopped, and shown at any time: of a running node as its status has it.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use ostrakon_node::{
    config::node_key,
    store::{ListedVolume, VolumeId, VolumeList, VolumeStatus},
};
use serde_json::json;

use super::{DataDir, run, say, status};

#[derive(Debug, Subcommand)]
pub(super) enum VolumeCommand {
    /// Store columns in PATH too, which must be an empty directory on a mounted disk of its own
    #[command(after_help = "Example, for a new disk, with the node stopped:
  mkfs.ext4 /dev/sdb && mkdir -p /srv/disk2 && mount /dev/sdb /srv/disk2
  ostrakon-node volume add --dir DIR /srv/disk2")]
    Add(AddArgs),
    /// List the volumes: where each is, what it stores, and what is wrong with it
    Ls {
        #[command(flatten)]
        data_dir: DataDir,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Move all columns of a volume to the others while the node runs, before its disk is taken away
    #[command(after_help = "Example, with the node stopped; `ls` shows how many columns are left:
  ostrakon-node volume drain --dir DIR ID
  ostrakon-node run --dir DIR
then, once it is empty, with the node stopped again:
  ostrakon-node volume remove --dir DIR ID")]
    Drain {
        #[command(flatten)]
        data_dir: DataDir,
        /// The volume, as `ls` prints it
        #[arg(value_name = "ID")]
        id: VolumeId,
        /// Use the volume again instead, with what is still on it
        #[arg(long)]
        cancel: bool,
    },
    /// Take a volume off the list, when it is empty or its disk is lost; what is on it is not deleted, and `add` lists
    /// it again
    Remove {
        #[command(flatten)]
        data_dir: DataDir,
        /// The volume, as `ls` prints it
        #[arg(value_name = "ID")]
        id: VolumeId,
    },
}

#[derive(Debug, Args)]
pub(super) struct AddArgs {
    #[command(flatten)]
    data_dir: DataDir,
    /// Directory of the volume
    #[arg(value_name = "PATH")]
    path: PathBuf,
}

pub(super) fn perform(command: VolumeCommand) -> anyhow::Result<()> {
    match command {
        VolumeCommand::Add(AddArgs { data_dir: DataDir { dir }, path }) => {
            let _lock = run::lock(&dir)?;
            let ListedVolume { id, .. } = VolumeList::add(&dir, &path, node_key(&dir)?.public())?;
            say(&format!("{:#}\n", json!({ "volume": id, "path": path })))
        }
        VolumeCommand::Drain { data_dir: DataDir { dir }, id, cancel } => {
            let _lock = run::lock(&dir)?;
            let changed = VolumeList::drain(&dir, id, !cancel)?;
            say(&format!("{:#}\n", json!({ "volume": id, "path": changed.place(&dir), "draining": changed.draining })))
        }
        VolumeCommand::Remove { data_dir: DataDir { dir }, id } => {
            let _lock = run::lock(&dir)?;
            let removed = VolumeList::remove(&dir, id)?;
            say(&format!("{:#}\n", json!({ "removed": id, "path": removed.place(&dir) })))
        }
        VolumeCommand::Ls { data_dir: DataDir { dir }, json } => {
            let volumes = volumes(&dir)?;
            match json {
                true => say(&format!("{}\n", json!({ "volumes": volumes }))),
                false => say(&volumes.iter().map(lines).collect::<String>()),
            }
        }
    }
}

/// The volumes of the node of `dir`. While it is stopped, columns and bytes are those of when it ran last.
fn volumes(dir: &Path) -> anyhow::Result<Vec<VolumeStatus>> {
    if let Some(running) = status::of_running(dir)? {
        return Ok(running.volumes());
    }
    let (node, list) = (node_key(dir)?.public(), VolumeList::read(dir)?.unwrap_or_default());
    let last = status::read(dir).map(status::Status::volumes).unwrap_or_default();
    let now = |listed: &ListedVolume| {
        let now = listed.status(dir, &node);
        let counts = last.iter().find(|volume| volume.id == now.id);
        let VolumeStatus { columns, used_bytes, free_bytes, .. } = counts.unwrap_or(&now).clone();
        VolumeStatus { columns, used_bytes, free_bytes, ..now }
    };
    Ok(list.volumes.iter().map(now).collect())
}

fn lines(volume: &VolumeStatus) -> String {
    let VolumeStatus { id, path, state, problem, columns, used_bytes, free_bytes } = volume;
    let problem = problem.as_ref().map(|problem| format!("  {problem}\n")).unwrap_or_default();
    format!(
        "{id} {} ({state}): {columns} columns, {used_bytes} bytes; {free_bytes} bytes free\n{problem}",
        path.display()
    )
}
