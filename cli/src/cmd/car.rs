//! `ostrakon car`: a file as an archive of IPFS, and back. The formats are the SDK's.

use std::{
    fs,
    path::{Path, PathBuf},
};

use ostrakon::{
    Added, Error, ErrorKind,
    ipfs::{CarError, CarExport, CarFile, Cid, Exported},
};
use serde::Serialize;

use super::Home;
use crate::{
    args::{Car, CarExportArgs, CarImportArgs},
    exit::{other, usage},
    output::{Output, bytes_text},
    progress::Progress,
};

#[derive(Debug, Serialize)]
struct Written<'a> {
    root: String,
    bytes: u64,
    archive_bytes: u64,
    file: &'a Path,
}

#[derive(Debug, Serialize)]
struct Imported<'a> {
    root: String,
    #[serde(flatten)]
    added: &'a Added,
}

/// Runs the command.
///
/// # Errors
/// When an archive is not valid, and as `get` and `add`.
pub(crate) async fn run(command: Car, home: &Home, out: &Output) -> crate::Result<()> {
    match command {
        Car::Export(args) => export(args, home, out).await,
        Car::Import(args) => import(args, home, out).await,
    }
}

async fn export(args: CarExportArgs, home: &Home, out: &Output) -> crate::Result<()> {
    let target = args.target.target()?;
    let link = home.complete(target.link(home).await?)?;
    if fs::exists(&args.output).map_err(other)? {
        return Err(usage(format!("{} exists: name another file, or remove it", args.output.display())));
    }
    let progress = Progress::new("get", out);
    let mut get = home.reader()?.get(&link).on_event(progress.listener(out));
    if let Some(path) = target.path {
        get = get.path(path);
    }
    let reader = get.reader().await?;
    let unfinished = Unfinished::beside(&args.output)?;
    let too_large = || usage("the file is larger than 16 GiB, which an archive of this kind cannot have");
    let size = reader.size();
    let export = CarExport::new(tokio::fs::File::create(&unfinished.0).await.map_err(other)?, size);
    let Exported { root, size, archive } = export.ok_or_else(too_large)?.write(reader).await?;
    unfinished.finish(&args.output)?;
    drop(progress);
    let written = Written { root: root.to_string(), bytes: size, archive_bytes: archive, file: &args.output };
    out.answer(&written, |_| format!("{root}\n{} in {}", bytes_text(archive), args.output.display()))?;
    Ok(())
}

async fn import(args: CarImportArgs, home: &Home, out: &Output) -> crate::Result<()> {
    let client = home.connect()?;
    let path = args.file.clone();
    let archive = tokio::task::spawn_blocking(move || CarFile::open(&path)).await.map_err(other)?;
    let archive = archive.map_err(|error| refused(&args.file, error))?;
    let (root, size): (Cid, u64) = (archive.root(), archive.size());
    let progress = Progress::new("add", out);
    let mut add = client.add_reader(archive.read()).size(size).name(name(&args.file)).on_event(progress.listener(out));
    if args.lasting.term.duration.is_some() {
        client.chain().head().await?;
    }
    if let Some(epochs) = args.lasting.term.epochs(&client.chain().pace()) {
        add = add.epochs(epochs);
    }
    if args.lasting.auto_renew {
        add = add.auto_renew();
    }
    let added = add.await?;
    drop(progress);
    let imported = Imported { root: root.to_string(), added: &added };
    out.words(&format!("imported {root}, {}", bytes_text(size)));
    out.answer(&imported, |_| added.link.to_string())?;
    Ok(())
}

/// What it is listed by: the archive's name, without its ending.
fn name(archive: &Path) -> PathBuf {
    archive.with_extension("").file_name().map(PathBuf::from).unwrap_or_default()
}

fn refused(path: &Path, error: CarError) -> Error {
    let kind = match &error {
        CarError::Read { .. } | CarError::Format(_) => ErrorKind::Usage,
        _ => ErrorKind::Integrity,
    };
    let text = match &error {
        CarError::Read { .. } => error.to_string(),
        _ => format!("{} is refused: {error}", path.display()),
    };
    Error::new(kind, text)
}

/// A file that is being written under another name. It is removed unless it was finished.
struct Unfinished(PathBuf);

impl Unfinished {
    fn beside(path: &Path) -> crate::Result<Self> {
        let mut name = path.file_name().ok_or_else(|| usage("the output needs a file name"))?.to_owned();
        name.push(".part");
        Ok(Self(path.with_file_name(name)))
    }

    fn finish(self, path: &Path) -> crate::Result<()> {
        let failed = |error| Error::new(ErrorKind::Other, format!("cannot write {}: {error}", path.display()));
        fs::rename(&self.0, path).map_err(failed)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // After it was finished there is none.
        _ = fs::remove_file(&self.0);
    }
}
