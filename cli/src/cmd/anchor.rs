//! `ostrakon anchor`: says a file's hash on the ledger, and keeps the proof of when. Checking needs no network.

use std::{
    fs,
    path::{Path, PathBuf},
};

use ostrakon::{Error, ErrorKind};
use ostrakon_proto::light::voucher::{AnchorProof, Anchored, BadVoucher};
use serde::Serialize;

use super::{
    Home,
    certificate::{read_bounded, read_genesis},
};
use crate::{
    args::{AnchorArgs, AnchorCommand, AnchorVerify},
    exit::{failure, usage},
    output::{Output, Paint, Table},
    progress::Progress,
};

/// What `--json` prints of an anchor: scripts rely on these fields.
#[derive(Debug, Serialize)]
struct AnchorObject {
    file: String,
    hash: String,
    account: String,
    tx: String,
    height: u64,
    time_ms: u64,
    proof: String,
}

/// Runs the command.
///
/// # Errors
/// When the file cannot be read or the ledger not be told; of a proof, when it does not prove the file.
pub(crate) async fn run(args: AnchorArgs, home: &Home, out: &Output) -> anyhow::Result<()> {
    match (args.command, args.file) {
        (Some(AnchorCommand::Verify(args)), _) => verify(&args, out),
        (None, Some(file)) => anchor(&file, args.output, home, out).await,
        (None, None) => Err(usage("name a file: `ostrakon anchor FILE`")),
    }
}

async fn anchor(file: &Path, output: Option<PathBuf>, home: &Home, out: &Output) -> anyhow::Result<()> {
    let hash = hash_of(file)?;
    let proof_path = output.unwrap_or_else(|| proof_of(file));
    if proof_path.exists() {
        return Err(usage(format!("{} exists already: name another with -o", proof_path.display())));
    }
    let profile = home.profile()?;
    let client = profile.connect()?;
    let progress = Progress::waiting("anchoring", out);
    let included = client.anchor(hash, &progress.events(out)).await?;
    let proof = client.chain().anchor_proof(profile.genesis(), included).await.map_err(Error::from)?;
    drop(progress);
    fs::write(&proof_path, proof.to_bytes())
        .map_err(|error| failure(ErrorKind::Other, format!("cannot write {}: {error}", proof_path.display())))?;
    let object = AnchorObject::new(file, &proof_path, &proof.verify(profile.genesis())?);
    out.answer(&object, |paint| object.text(paint))?;
    Ok(())
}

fn verify(args: &AnchorVerify, out: &Output) -> anyhow::Result<()> {
    let genesis = read_genesis(&args.genesis)?;
    let (hash, path) = (hash_of(&args.file)?, args.proof.clone().unwrap_or_else(|| proof_of(&args.file)));
    let bytes = read_bounded(&path)?;
    let proves_nothing = |error| failure(ErrorKind::Integrity, format!("{} proves nothing: {error}", path.display()));
    let anchored = AnchorProof::from_bytes(&bytes).and_then(|proof| proof.verify(&genesis));
    let other = |anchored: Anchored| if anchored.hash == hash { Ok(anchored) } else { Err(BadVoucher::Other) };
    let anchored = anchored.and_then(other).map_err(proves_nothing)?;
    let object = AnchorObject::new(&args.file, &path, &anchored);
    out.answer(&object, |paint| object.text(paint))?;
    Ok(())
}

/// Beside the file, as long as nothing else is said.
fn proof_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".anchor");
    name.into()
}

fn hash_of(file: &Path) -> anyhow::Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    let read = fs::File::open(file).and_then(|opened| hasher.update_reader(opened).map(|_| ()));
    read.map_err(|error| usage(format!("cannot read {}: {error}", file.display())))?;
    Ok(hasher.finalize().into())
}

impl AnchorObject {
    fn new(file: &Path, proof: &Path, anchored: &Anchored) -> Self {
        Self {
            file: file.display().to_string(),
            hash: anchored.hash.iter().map(|byte| format!("{byte:02x}")).collect(),
            account: anchored.account.to_string(),
            tx: anchored.tx.to_string(),
            height: anchored.height.0,
            time_ms: anchored.time_ms,
            proof: proof.display().to_string(),
        }
    }

    fn text(&self, paint: Paint) -> String {
        let mut table = Table::new(0);
        table.plain(["file".to_owned(), self.file.clone()]);
        table.plain(["BLAKE3".to_owned(), self.hash.clone()]);
        table.plain(["known by".to_owned(), format!("block {} at {} ms", self.height, self.time_ms)]);
        table.plain(["said by".to_owned(), self.account.clone()]);
        table.plain(["proof".to_owned(), self.proof.clone()]);
        table.render(paint)
    }
}
