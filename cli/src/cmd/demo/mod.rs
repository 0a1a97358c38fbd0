//! `ostrakon demo`: the whole story on this machine. Starts a network of real nodes, adds a file, kills and wipes most
//! of the nodes, the validator among them, and gets the file back through a client that knows nothing but the link.
//!
//! [`choose`] decides who dies, [`story`] says what happens, [`scene`] is where. Adding, getting and the network itself
//! are the same as behind `add`, `get` and `devnet`.

use std::path::{Path, PathBuf};

use ostrakon::{Added, Class, Client, Code, Error, ErrorKind, Fetched, Link, NodeId, ObjectId, Profile};
use serde::Serialize;
use tokio::time::Instant;

mod choose;
mod scene;
mod story;

use scene::Scene;

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
    nodes: u16,
    domains: u16,
    killed: Vec<Killed>,
    blake3: Hashes,
    get: Fetched,
    seconds: Seconds,
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
    let shape =
        Shape { validators: args.validators.min(args.nodes), ..Shape::of(args.nodes, args.domains.min(args.nodes)) };
    let code = plan::params(shape.epoch_seconds).class(Class::Standard, usize::from(shape.nodes)).map(|(code, _)| code);
    if let Some(objection) = choose::objection(code, shape.nodes, args.kill) {
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
    let stage = Stage { scene: &scene, shape, out };
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
    if report.identical {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Integrity, "the file that came back is not the file that was added"))
}

/// Where and with whom the story is played.
#[derive(Clone, Copy, Debug)]
struct Stage<'a> {
    scene: &'a Scene,
    shape: Shape,
    out: &'a Output,
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
        let victims = choose::victims(&devnet.nodes, &holders, args.kill);
        let kill_seconds = self.destroy(&devnet, &victims, &holders).await?;
        let got = self.get(&devnet, &added.link, &victims).await?;
        let (left, right) = (file, self.scene.returned());
        let comparison = tokio::task::spawn_blocking(move || scene::compare(&left, &right)).await.map_err(other)??;
        let blake3 = Hashes { added: comparison.left.to_string(), got: comparison.right.to_string() };
        self.out.story(|paint| {
            let head = story::step(paint, 5, "Compare", "");
            format!("{head}\n{}", story::comparison(paint, &blake3.added, &blake3.got, comparison.identical))
        })?;
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
            link: added.link,
            size: added.size,
            stored_bytes: added.stored_bytes,
            code: added.code,
            nodes: self.shape.nodes,
            domains: self.shape.domains,
            killed: devnet.pick(&victims)?.into_iter().map(killed).collect(),
            blake3,
            seconds: Seconds {
                up: up_seconds,
                add: added.traffic.seconds,
                kill: kill_seconds,
                get: got.took.as_secs_f64(),
            },
            get: got,
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
            let map = story::map(paint, &story::places(&devnet.nodes, &holders(&added), &[]));
            let legend = "* a validator: these agree on the blocks of the ledger";
            let lines = [&how, &added.link.to_string(), legend].map(story::line);
            format!("{head}\n{}\n{}\n\n{map}\n{}", lines[0], lines[1], lines[2])
        })?;
        Ok(added)
    }

    async fn destroy(self, devnet: &Devnet, victims: &[u16], holders: &[NodeId]) -> crate::Result<f64> {
        let began = Instant::now();
        let data_dirs: Vec<PathBuf> =
            devnet.pick(victims)?.into_iter().map(|node| node.data_dir(&devnet.dir)).collect();
        process::kill(&data_dirs).await?;
        data_dirs.iter().try_for_each(|data_dir| Devnet::wipe(data_dir))?;
        let seconds = began.elapsed().as_secs_f64();
        self.out.story(|paint| {
            let title = format!("Kill -9 and wipe {} of them, a validator too", victims.len());
            let head = story::step(paint, 3, &title, &story::seconds(seconds));
            format!("{head}\n{}", story::map(paint, &story::places(&devnet.nodes, holders, victims)))
        })?;
        Ok(seconds)
    }

    async fn get(self, devnet: &Devnet, link: &Link, victims: &[u16]) -> crate::Result<Fetched> {
        let client = connect(devnet)?;
        let progress = Progress::new("get", self.out);
        let got = client.get(link).on_event(progress.listener(self.out)).save(self.scene.returned()).await?;
        drop(progress);
        self.out.story(|paint| {
            let seconds = got.took.as_secs_f64();
            let figures = format!("{}  {}", story::seconds(seconds), rate_text(got.size, seconds));
            let left = story::left(devnet.nodes.len() - victims.len());
            let head = story::step(paint, 4, &format!("Get it back from {left}"), &figures);
            let columns = story::sources(&devnet.nodes, &got.columns_used);
            let how =
                if got.reconstructed { "what was lost is recomputed from them" } else { "nothing had to be computed" };
            format!("{head}\n{}\n{}", story::line(&columns), story::line(how))
        })?;
        Ok(got)
    }
}

/// A client that knows the network's genesis and nothing else.
fn connect(devnet: &Devnet) -> crate::Result<Client> {
    Ok(Profile::open(devnet.profile())?.connect()?)
}
