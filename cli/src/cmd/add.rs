//! `ostrakon add`: stores files, directories or stdin, and prints their links.
//!
//! How an add is done, resumed, remembered and cleaned up after is the SDK's. The adds that were interrupted are in
//! [`super::uploads`].

use std::{
    fs,
    io::Read,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use futures::{StreamExt, stream};
use ostrakon::{Add, Added, AddedSource, Amount, Client, Code, Error, ErrorKind, Pace, Quote, Renewal, escape};
use serde::Serialize;

use super::{Home, key::backup_remark};
use crate::{
    args::{self, Class},
    exit::{message, other, usage},
    output::{Output, Paint, Table, bytes_text, count_text},
    progress::Progress,
    time,
};

/// What `add --json` prints of several paths.
#[derive(Debug, Default, Serialize)]
pub(super) struct Several {
    pub(super) added: Vec<Added>,
    pub(super) failed: Vec<FailedObject>,
}

/// A path that could not be added.
#[derive(Debug, Serialize)]
pub(super) struct FailedObject {
    pub(super) path: PathBuf,
    message: String,
    #[serde(skip)]
    kind: ErrorKind,
}

/// Runs the command.
///
/// # Errors
/// As the SDK's `add`; of several paths the first failure, after the others were added.
pub(crate) async fn run(args: args::Add, home: &Home, out: &Output) -> crate::Result<()> {
    let paths = paths(&args)?;
    let adds = Adds::new(home.connect()?, &args).await?;
    let result = match paths.as_slice() {
        [] => Err(usage("no path to add: name files or directories, or - for stdin")),
        [_, _, ..] if args.name.is_some() => Err(usage("--name needs a single path")),
        [path] if args.dry_run => quote(adds.of(path)?, out).await,
        _ if args.dry_run => Err(usage("--dry-run needs a single path")),
        [path] => one(&adds, path, out).await,
        paths => several(&adds, paths, out).await,
    };
    if result.is_ok() && !args.dry_run {
        out.words(&backup_remark(&home.profile()?));
    }
    result
}

/// The paths on the command line, then those in `--files-from`.
fn paths(args: &args::Add) -> crate::Result<Vec<PathBuf>> {
    let mut paths = args.paths.clone();
    if let Some(file) = &args.files_from {
        let mut text = Vec::new();
        let read = match file.as_os_str() == "-" {
            true => std::io::stdin().read_to_end(&mut text).map(drop),
            false => fs::read(file).map(|read| text = read),
        };
        read.map_err(|error| usage(format!("cannot read {}: {error}", file.display())))?;
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        paths.extend(lines.map(|line| PathBuf::from(std::ffi::OsStr::from_bytes(line))));
    }
    let stdins = paths.iter().filter(|path| is_stdin(path)).count();
    match stdins > 1 || stdins == 1 && args.files_from.as_deref().is_some_and(is_stdin) {
        true => Err(usage("stdin can be read only once: give - only once")),
        false => Ok(paths),
    }
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

/// What the command line says of every path.
struct Adds<'a> {
    client: Client,
    args: &'a args::Add,
    epochs: Option<u64>,
}

impl<'a> Adds<'a> {
    async fn new(client: Client, args: &'a args::Add) -> crate::Result<Self> {
        // How long an epoch takes is known from the newest block.
        if args.lasting.term.duration.is_some() {
            client.chain().head().await?;
        }
        let epochs = args.lasting.term.epochs(&client.chain().pace());
        Ok(Self { client, args, epochs })
    }

    /// The add of one path.
    fn of(&self, path: &Path) -> crate::Result<Add<'static>> {
        let Self { client, args, epochs } = self;
        if is_stdin(path) && args.dry_run {
            return Err(usage("the price of stdin is known only at its end: --dry-run needs a file"));
        }
        let mut add = match is_stdin(path) {
            true => client.add_reader(tokio::io::stdin()),
            false => client.add(path).exclude(&args.exclude),
        };
        add = match (args.durability.code, args.durability.class) {
            (Some(code), _) => add.code(code),
            (None, Class::Standard) => add.class(ostrakon::Class::Standard),
            (None, Class::Economy) => add.class(ostrakon::Class::Economy),
        };
        if let Some(epochs) = epochs {
            add = add.epochs(*epochs);
        }
        if args.lasting.auto_renew {
            add = add.auto_renew();
        }
        if args.public {
            add = add.public();
        }
        if args.no_preserve {
            add = add.no_preserve();
        }
        if args.durability.all {
            add = add.all();
        }
        if args.no_wait {
            add = add.no_wait();
        }
        if let Some(name) = &args.name {
            add = add.name(name);
        }
        if let Some(limit) = &args.limit_upload {
            add = add.limit_upload(limit.clone());
        }
        Ok(add)
    }

    /// What a person should know of an added object.
    fn words(&self, added: &Added) -> String {
        words(added, &self.client.chain().pace())
    }
}

/// Adds one path, with a progress bar.
async fn one(adds: &Adds<'_>, path: &Path, out: &Output) -> crate::Result<()> {
    let progress = Progress::new("add", out);
    let result = adds.of(path)?.on_event(progress.listener(out)).await;
    drop(progress);
    let added = result.inspect_err(|_| remark(&adds.client, path, out))?;
    out.words(&adds.words(&added));
    out.answer(&added, |_| added.link.to_string())?;
    complaint(&added)
}

/// Adds several paths, a few concurrently.
async fn several(adds: &Adds<'_>, paths: &[PathBuf], out: &Output) -> crate::Result<()> {
    let progress = &Progress::waiting("add", out);
    let running = paths.iter().map(|path| async move {
        let result = async { adds.of(path)?.on_event(progress.listener(out)).await };
        (path, result.await)
    });
    let mut results = stream::iter(running).buffered(adds.args.parallel.get());
    let (mut all, mut complaints) = (Several::default(), Ok(()));
    while let Some((path, result)) = results.next().await {
        match result {
            Ok(added) => {
                progress.suspend(|| out.words(&format!("{}: {}", path.display(), adds.words(&added))));
                complaints = complaints.and(complaint(&added));
                all.added.push(added);
            }
            Err(error) => {
                remark(&adds.client, path, out);
                all.fail(path, &error);
            }
        }
    }
    out.answer(&all, |_| all.links())?;
    all.verdict().and(complaints)
}

impl Several {
    pub(super) fn fail(&mut self, path: &Path, error: &Error) {
        let message = format!("{}: {}", path.display(), message(error));
        self.failed.push(FailedObject { path: path.to_owned(), message, kind: error.kind() });
    }

    /// The links of what was added, one a line.
    pub(super) fn links(&self) -> String {
        let links: Vec<String> = self.added.iter().map(|added| added.link.to_string()).collect();
        links.join("\n")
    }

    /// The first failure's kind, and what all of them say.
    pub(super) fn verdict(&self) -> crate::Result<()> {
        let Some(first) = self.failed.first() else { return Ok(()) };
        let messages: Vec<&str> = self.failed.iter().map(|failed| failed.message.as_str()).collect();
        Err(Error::new(first.kind, messages.join("\n")))
    }
}

/// One line on an add that failed and can be resumed.
fn remark(client: &Client, path: &Path, out: &Output) {
    let is_it = |source: &Path| fs::canonicalize(path).is_ok_and(|whole| whole == source);
    let list = client.unfinished().unwrap_or_default();
    if list.iter().flatten().any(|unfinished| is_it(&unfinished.source)) {
        out.words("what was sent so far is kept for an hour: run the same command again to resume");
    }
}

/// What a person should know of an added object.
pub(super) fn words(added: &Added, pace: &Pace) -> String {
    let size = bytes_text(added.size);
    let entries = match &added.source {
        AddedSource::Directory { entries, .. } => format!("{}, ", count_text(*entries, "entry", "entries")),
        AddedSource::File { .. } => String::new(),
    };
    let price = match added.term.existing {
        true => "already stored and paid for".to_owned(),
        false => format!("{} obols until {}", added.term.price, time::of_epoch(added.term.end, pace)),
    };
    let mut lines =
        vec![format!("{entries}{size} in {:.1} s, {price}; survives {}", added.traffic.seconds, added.survives)];
    if let Some(Renewal { epochs, .. }) = added.term.renewal {
        lines.push(format!("the ledger renews it for {epochs} epochs whenever it would end, from your balance"));
    }
    let (stored, n) = (added.stored(), added.code.n);
    if stored < usize::from(n) {
        lines.push(format!("{stored} of {n} columns are stored now; the network repairs the others"));
    }
    let (AddedSource::File { holes, .. } | AddedSource::Directory { holes, .. }) = added.source;
    if holes > 0 {
        let holes = bytes_text(holes);
        lines.push(format!("sparse: {holes} of {size} are holes, which are stored and paid for in full, as zeroes"));
    }
    match &added.source {
        AddedSource::File { grew: true, .. } => {
            lines.push(format!(
                "the file grew while it was added: only its first {size} are stored; add it again to store all of it"
            ));
        }
        AddedSource::File { .. } if added.size == 0 => {
            lines.push("the input was empty, and so is the object".to_owned())
        }
        _ => {}
    }
    for earlier in &added.earlier {
        let cid = earlier.link.object;
        lines.push(format!("an earlier version was stored before it changed, and is in `ostrakon ls`: {cid}"));
    }
    lines.join("\n")
}

/// A failure that names what is not stored, once the link was printed.
pub(super) fn complaint(added: &Added) -> crate::Result<()> {
    let skipped = added.skipped();
    if skipped.is_empty() {
        return Ok(());
    }
    let line = |skipped: &ostrakon::Skipped| {
        let path = escape(skipped.path.as_os_str().as_bytes());
        format!("\n  {path}: {}", skipped.reason)
    };
    let (count, lines) =
        (count_text(u128::try_from(skipped.len()).map_err(other)?, "entry", "entries"), skipped.iter().map(line));
    let text = format!("{count} could not be stored, everything else is:{}", lines.collect::<String>());
    Err(Error::new(ErrorKind::Partial, text))
}

async fn quote(add: Add<'_>, out: &Output) -> crate::Result<()> {
    let quote = add.quote().await?;
    out.answer(&quote, |paint| quote_text(&quote, paint))?;
    Ok(())
}

fn quote_text(quote: &Quote, paint: Paint) -> String {
    let Code { k, n } = quote.code;
    let (stored, size) = (bytes_text(quote.stored_bytes), bytes_text(quote.size));
    let mut table = Table::new(0);
    let mut row = |name: &str, text: String| table.plain([name.to_owned(), text]);
    row("price", format!("{} obols for {} epochs, and {} in fees", quote.price, quote.epochs, quote.fee));
    row(
        "locked",
        format!("{} obols: each column at the price of the dearest holder; what is not paid out returns", quote.locked),
    );
    if quote.repair > Amount::ZERO {
        row(
            "repair",
            format!("{} obols locked at most, for columns that find no holder; the rest returns", quote.repair),
        );
    }
    row("balance", format!("{} obols", quote.balance));
    row("stored", format!("{stored} for {size}: any {k} of {n} columns restore it"));
    row("survives", quote.survives.to_string());
    table.render(paint)
}
