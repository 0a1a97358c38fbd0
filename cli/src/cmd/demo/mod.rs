//! `ostrakon demo`: the whole story on this machine. Starts a network of real nodes, adds a file, kills and wipes most
//! of the nodes, a validator among them, and gets the file back through a client that knows nothing but the link. Then
//! fresh nodes join, the network rebuilds what was lost, and it is done once more.
//!
//! [`choose`] decides who dies, [`story`] says what happens, [`scene`] is where, [`repair`] is the second part. Adding,
//! getting and the network itself are the same as behind `add`, `get` and `devnet`.

use std::path::{Path, PathBuf};

use ostrakon::{Added, Class, Client, Code, Error, ErrorKind, Fetched, Link, NodeId, ObjectId, Overwrite, Profile};
use serde::Serialize;
use tokio::time::Instant;

mod choose;
mod repair;
mod scene;
mod story;

use choose::Mortal;
use repair::Repaired;
use scene::{Comparison, Scene};

use crate::{
    args::Demo,
    cmd::devnet::{
        files::Devnet,
        plan::{self, NodeEntry, Shape},
        process,
        up::{self, Up},
    },
    exit::{other, usage},
    output::{Output, bytes_text, rate_text},
    progress::Progress,
};

/// Seconds of an epoch: a provider that proves nothing for three is given up.
const EPOCH_SECONDS: u64 = 4;
/// Bytes of the file that is made up: enough to measure, little enough for any machine.
const SIZE: usize = 64 * 1024 * 1024;

/// What `demo --json` prints.
#[derive(Debug, Serialize)]
struct Report {
    identical: bool,
    cid: ObjectId,
    link: Link,
    size: u64,
    stored_bytes: u64,
    code: Code,
    #[serde(flatten)]
    network: Size,
    killed: Vec<Killed>,
    blake3: Hashes,
    get: Fetched,
    /// `None` with `--no-repair`.
    repair: Option<Repaired>,
    seconds: Seconds,
}

/// How large the network is.
#[derive(Debug, Serialize)]
struct Size {
    nodes: u16,
    domains: u16,
}

#[derive(Debug, Serialize)]
struct Killed {
    index: u16,
    provider: NodeId,
    domain: String,
    validator: bool,
    column: Option<usize>,
}

#[derive(Debug, Serialize)]
struct Hashes {
    added: String,
    got: String,
}

#[derive(Debug, Serialize)]
struct Seconds {
    up: f64,
    add: f64,
    kill: f64,
    get: f64,
}

/// Runs the command.
///
/// # Errors
/// When the file cannot survive what is asked for, when any step fails, and when the bytes are not the same.
pub(crate) async fn run(args: Demo, out: &Output) -> crate::Result<()> {
    let validators = args.validators.unwrap_or_else(|| choose::validators(args.nodes, args.kill)).min(args.nodes);
    let spares = if args.no_repair { 0 } else { args.kill };
    let founders = Shape::of(args.nodes, args.domains.min(args.nodes));
    let shape = Shape { validators, epoch_seconds: EPOCH_SECONDS, spares, ..founders };
    let mortal = if args.no_repair { Mortal::All } else { Mortal::Minority };
    let code = plan::params(shape.epoch_seconds).class(Class::Standard, usize::from(shape.nodes)).map(|(code, _)| code);
    if let Some(objection) = choose::objection(code, (shape.nodes, validators), (args.kill, mortal)) {
        return Err(usage(objection));
    }
    if let Some(file) = args.file.as_ref().filter(|file| !file.is_file()) {
        return Err(usage(format!("{} is not a file", file.display())));
    }
    process::node_program()?;
    let scene = Scene::new()?;
    let left = shape.nodes - args.kill;
    out.story(|paint| {
        story::title(paint, &format!("Ostrakon: one file, {} nodes, and then only {left}", shape.nodes))
    })?;
    let spare_columns = code.map_or(0, Code::spare);
    let stage = Stage { scene: &scene, shape, spare_columns, out };
    let report = Box::pin(stage.play(&args)).await?;
    finish(scene, &args, &report, out)
}

/// The last words, and the end of the scene.
fn finish(scene: Scene, args: &Demo, report: &Report, out: &Output) -> crate::Result<()> {
    if args.keep {
        let net = scene.net();
        out.words(&story::farewell(&net));
        scene.keep();
    } else {
        drop(scene);
    }
    out.answer(report, |_| String::new())?;
    if report.identical && report.repair.as_ref().is_none_or(|repaired| repaired.identical) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Integrity, "the file that came back is not the file that was added"))
}

/// Where and with whom the story is played.
#[derive(Clone, Copy, Debug)]
struct Stage<'a> {
    scene: &'a Scene,
    shape: Shape,
    /// Columns that may be lost.
    spare_columns: u8,
    out: &'a Output,
}

/// The file that is kept, and how to get it.
#[derive(Clone, Copy, Debug)]
struct Kept<'a> {
    file: &'a Path,
    link: &'a Link,
}

/// Who keeps the columns of the first extent, by index.
fn holders(added: &Added) -> Vec<NodeId> {
    let first = added.slots.iter().filter(|slot| slot.extent == 0);
    first.map(|slot| slot.provider).collect()
}

impl Stage<'_> {
    async fn play(self, args: &Demo) -> crate::Result<Report> {
        let (devnet, up_seconds) = self.start().await?;
        let file = match &args.file {
            Some(file) => file.clone(),
            None => self.scene.random_file(SIZE)?,
        };
        let added = self.add(&devnet, args, &file).await?;
        let holders = holders(&added);
        let (nodes, mortal) = (devnet.founders(), if args.no_repair { Mortal::All } else { Mortal::Minority });
        let victims = choose::victims(&nodes, &holders, (args.kill, mortal));
        let before = connect(&devnet)?.chain().all_providers().await?;
        let of_validators = nodes.iter().any(|node| node.validator && victims.contains(&node.index));
        let title = format!(
            "Kill -9 and wipe {} of them{}",
            victims.len(),
            if of_validators { ", a validator too" } else { "" }
        );
        let kill_seconds = self.destroy(&devnet, (3, &title), (&victims, &nodes), &holders).await?;
        let left = nodes.len() - victims.len();
        let kept = Kept { file: &file, link: &added.link };
        let (got, comparison) = self.get_and_compare(&devnet, kept, (4, left)).await?;
        let repair = match args.no_repair {
            true => None,
            false => Some(Box::pin(self.repair(&devnet, kept, (&victims, &before))).await?),
        };
        let killed = |node: &NodeEntry| Killed {
            index: node.index,
            provider: node.provider,
            domain: node.domain.to_string(),
            validator: node.validator,
            column: holders.iter().position(|holder| *holder == node.provider),
        };
        Ok(Report {
            identical: comparison.identical,
            cid: added.link.object,
            link: added.link.clone(),
            size: added.size,
            stored_bytes: added.stored_bytes,
            code: added.code,
            network: Size { nodes: self.shape.nodes, domains: self.shape.domains },
            killed: devnet.pick(&victims)?.into_iter().map(killed).collect(),
            blake3: Hashes { added: comparison.left.to_string(), got: comparison.right.to_string() },
            seconds: Seconds {
                up: up_seconds,
                add: added.traffic.seconds,
                kill: kill_seconds,
                get: got.took.as_secs_f64(),
            },
            get: got,
            repair,
        })
    }

    async fn start(self) -> crate::Result<(Devnet, f64)> {
        let began = Instant::now();
        let waiting = Progress::waiting("starting the nodes", self.out);
        let Up { devnet, height, .. } = up::up(&self.scene.net(), self.shape, self.out).await?;
        drop(waiting);
        let seconds = began.elapsed().as_secs_f64();
        self.out.story(|paint| {
            let title = format!("A network of {} nodes in {} domains", self.shape.nodes, self.shape.domains);
            let head = story::step(paint, 1, &title, &story::seconds(seconds));
            let text =
                format!("{} processes of ostrakon-node on this machine; block {height} is decided", self.shape.nodes);
            format!("{head}\n{}", story::line(&text))
        })?;
        Ok((devnet, seconds))
    }

    async fn add(self, devnet: &Devnet, args: &Demo, file: &Path) -> crate::Result<Added> {
        let client = connect(devnet)?;
        let progress = Progress::new("add", self.out);
        let added = client.add(file).all().on_event(progress.listener(self.out)).await?;
        drop(progress);
        let what = match &args.file {
            Some(file) => file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            None => "random bytes".to_owned(),
        };
        self.out.story(|paint| {
            let figures =
                format!("{}  {}", story::seconds(added.traffic.seconds), rate_text(added.size, added.traffic.seconds));
            let head = story::step(paint, 2, &format!("Add {} of {what}", bytes_text(added.size)), &figures);
            let (Code { k, n }, stored) = (added.code, bytes_text(added.stored_bytes));
            let how = format!("encrypted here and coded: any {k} of {n} columns restore it; {stored} in all");
            let map = story::map(paint, &story::places(&devnet.founders(), &holders(&added), &[]));
            let legend = "* a validator: these agree on the blocks of the ledger";
            let lines = [&how, &added.link.to_string(), legend].map(story::line);
            format!("{head}\n{}\n{}\n\n{map}\n{}", lines[0], lines[1], lines[2])
        })?;
        Ok(added)
    }

    /// Kills and wipes these of the `nodes`; returns the seconds it took.
    async fn destroy(
        self,
        devnet: &Devnet,
        (step, title): (usize, &str),
        (victims, nodes): (&[u16], &[NodeEntry]),
        holders: &[NodeId],
    ) -> crate::Result<f64> {
        let began = Instant::now();
        let data_dirs: Vec<PathBuf> =
            devnet.pick(victims)?.into_iter().map(|node| node.data_dir(&devnet.dir)).collect();
        process::kill(&data_dirs).await?;
        data_dirs.iter().try_for_each(|data_dir| Devnet::wipe(data_dir))?;
        let seconds = began.elapsed().as_secs_f64();
        self.out.story(|paint| {
            let head = story::step(paint, step, title, &story::seconds(seconds));
            format!("{head}\n{}", story::map(paint, &story::places(nodes, holders, victims)))
        })?;
        Ok(seconds)
    }

    /// Gets the file from so many nodes, by a client that knows nothing but the link, and compares it with what was
    /// added.
    async fn get_and_compare(
        self,
        devnet: &Devnet,
        kept: Kept<'_>,
        (step, left): (usize, usize),
    ) -> crate::Result<(Fetched, Comparison)> {
        let client = connect(devnet)?;
        let progress = Progress::new("get", self.out);
        let got = client.get(kept.link).overwrite(Overwrite::Replace).on_event(progress.listener(self.out));
        let got = got.save(self.scene.returned()).await?;
        drop(progress);
        self.out.story(|paint| {
            let seconds = got.took.as_secs_f64();
            let figures = format!("{}  {}", story::seconds(seconds), rate_text(got.size, seconds));
            let head = story::step(paint, step, &format!("Get it back from {}", story::left(left)), &figures);
            let columns = story::sources(&devnet.nodes, &got.columns_used);
            let how =
                if got.reconstructed { "what was lost is recomputed from them" } else { "nothing had to be computed" };
            format!("{head}\n{}\n{}", story::line(&columns), story::line(how))
        })?;
        let (added, returned) = (kept.file.to_owned(), self.scene.returned());
        let comparison =
            tokio::task::spawn_blocking(move || scene::compare(&added, &returned)).await.map_err(other)??;
        self.out.story(|paint| {
            let head = story::step(paint, step + 1, "Compare", "");
            let (added, got) = (comparison.left.to_string(), comparison.right.to_string());
            format!("{head}\n{}", story::comparison(paint, &added, &got, comparison.identical))
        })?;
        Ok((got, comparison))
    }
}

/// A client that knows the network's genesis and nothing else.
fn connect(devnet: &Devnet) -> crate::Result<Client> {
    Ok(Profile::open(devnet.profile())?.connect()?)
}
