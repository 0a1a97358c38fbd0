//! `ostrakon anchor`: writes a file's hash to the ledger and a proof of the time to a file. Verifying needs no network.

use std::{
    fs,
    path::{Path, PathBuf},
};

use ostrakon::{Error, read_genesis};
use ostrakon_proto::light::proof_file::{AnchorProof, Anchored, ProofFileError};
use serde::Serialize;

use super::{
    Home,
    certificate::{not_valid, read_voucher, write_voucher},
};
use crate::{
    args::{Anchor, AnchorCreate, AnchorVerify},
    exit::usage,
    output::{Output, Paint, Table},
    progress::Progress,
    time,
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
    time: String,
    proof: String,
}

/// Runs the command.
///
/// # Errors
/// When the file cannot be read or no node responds; of a proof, when it is not valid for the file.
pub(crate) async fn run(command: Anchor, home: &Home, out: &Output) -> anyhow::Result<()> {
    match command {
        Anchor::Create(args) => create(args, home, out).await,
        Anchor::Verify(args) => verify(&args, out),
    }
}

async fn create(AnchorCreate { file, output }: AnchorCreate, home: &Home, out: &Output) -> anyhow::Result<()> {
    let hash = hash_of(&file)?;
    let path = output.unwrap_or_else(|| proof_of(&file));
    if path.exists() {
        return Err(usage(format!("{} exists: choose another file with -o", path.display())));
    }
    let profile = home.profile()?;
    let client = profile.connect()?;
    let progress = Progress::waiting("anchoring", out);
    let included = client.anchor(hash).on_event(progress.listener(out)).await?;
    let proof = client.chain().anchor_proof(profile.genesis(), included).await.map_err(Error::from)?;
    drop(progress);
    write_voucher(&path, &proof.to_bytes())?;
    let object = AnchorObject::new(&file, &path, &proof.verify(profile.genesis())?);
    out.answer(&object, |paint| object.text(paint))?;
    Ok(())
}

fn verify(args: &AnchorVerify, out: &Output) -> anyhow::Result<()> {
    let genesis = read_genesis(&args.genesis)?;
    let (hash, path) = (hash_of(&args.file)?, args.proof.clone().unwrap_or_else(|| proof_of(&args.file)));
    let bytes = read_voucher(&path)?;
    let anchored = AnchorProof::from_bytes(&bytes).and_then(|proof| proof.verify(&genesis));
    let other = |anchored: Anchored| if anchored.hash == hash { Ok(anchored) } else { Err(ProofFileError::Other) };
    let anchored = anchored.and_then(other).map_err(|error| not_valid(&path, error))?;
    let object = AnchorObject::new(&args.file, &path, &anchored);
    out.answer(&object, |paint| object.text(paint))?;
    Ok(())
}

/// Beside the file, unless another is named.
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
            hash: hex::encode(anchored.hash),
            account: anchored.account.to_string(),
            tx: anchored.tx.to_string(),
            height: anchored.height.0,
            time_ms: anchored.time_ms,
            time: time::of_ms(anchored.time_ms),
            proof: proof.display().to_string(),
        }
    }

    fn text(&self, paint: Paint) -> String {
        let mut table = Table::new(0);
        table.plain(["file".to_owned(), self.file.clone()]);
        table.plain(["BLAKE3".to_owned(), self.hash.clone()]);
        table.plain(["known since".to_owned(), format!("{} (block {})", self.time, self.height)]);
        table.plain(["anchored by".to_owned(), self.account.clone()]);
        table.plain(["proof".to_owned(), self.proof.clone()]);
        table.render(paint)
    }
}
