//! `ostrakon anchor`: writes a file's hash to the ledger and a proof of the time to a file. Verifying needs no network.

use std::{
    fs,
    path::{Path, PathBuf},
};

use ostrakon::{AnchorProof, Anchored, ProofFileError, now_ms, read_genesis};
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

/// What is anchored, and the files.
#[derive(Debug, Serialize)]
struct AnchoredFile {
    file: String,
    proof: String,
    #[serde(flatten)]
    anchored: Anchored,
}

/// Runs the command.
///
/// # Errors
/// When the file cannot be read or no node responds; of a proof, when it is not valid for the file.
pub(crate) async fn run(command: Anchor, home: &Home, out: &Output) -> crate::Result<()> {
    match command {
        Anchor::Create(args) => create(args, home, out).await,
        Anchor::Verify(args) => verify(&args, out),
    }
}

async fn create(AnchorCreate { file, output }: AnchorCreate, home: &Home, out: &Output) -> crate::Result<()> {
    let hash = hash_of(&file)?;
    let path = output.unwrap_or_else(|| proof_of(&file));
    if path.exists() {
        return Err(usage(format!("{} exists: choose another file with -o", path.display())));
    }
    let profile = home.profile()?;
    let client = home.connect()?;
    let progress = Progress::waiting("anchoring", out);
    let included = client.anchor(hash).on_event(progress.listener(out)).await?;
    let proof = client.chain().anchor_proof(profile.genesis(), included).await?;
    drop(progress);
    write_voucher(&path, &proof.to_bytes())?;
    let object = AnchoredFile::new(&file, &path, proof.verify(profile.genesis())?);
    out.answer(&object, |paint| object.text(paint))?;
    Ok(())
}

fn verify(args: &AnchorVerify, out: &Output) -> crate::Result<()> {
    let genesis = read_genesis(&args.genesis)?;
    let (hash, path) = (hash_of(&args.file)?, args.proof.clone().unwrap_or_else(|| proof_of(&args.file)));
    let bytes = read_voucher(&path)?;
    let anchored = AnchorProof::from_bytes(&bytes).and_then(|proof| proof.verify(&genesis));
    let right = |anchored: Anchored| match anchored.hash == hash {
        true => anchored.basis.check(&genesis, args.checkpoint, now_ms()).map(|()| anchored),
        false => Err(ProofFileError::Other),
    };
    let anchored = anchored.and_then(right).map_err(|error| not_valid(&path, error))?;
    let object = AnchoredFile::new(&args.file, &path, anchored);
    out.answer(&object, |paint| object.text(paint))?;
    Ok(())
}

/// Beside the file, unless another is named.
fn proof_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".anchor");
    name.into()
}

fn hash_of(file: &Path) -> crate::Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    let read = fs::File::open(file).and_then(|opened| hasher.update_reader(opened).map(|_| ()));
    read.map_err(|error| usage(format!("cannot read {}: {error}", file.display())))?;
    Ok(hasher.finalize().into())
}

impl AnchoredFile {
    fn new(file: &Path, proof: &Path, anchored: Anchored) -> Self {
        Self { file: file.display().to_string(), proof: proof.display().to_string(), anchored }
    }

    fn text(&self, paint: Paint) -> String {
        let Anchored { hash, account, height, time_ms, basis, .. } = self.anchored;
        let table = Table::of([
            ("file", self.file.clone()),
            ("BLAKE3", hex::encode(hash)),
            ("known since", format!("{} (block {height})", time::of_ms(time_ms))),
            ("anchored by", account.to_string()),
            ("proof", self.proof.clone()),
            ("rests on", format!("{}:{}", basis.height, basis.block)),
        ]);
        table.render(paint)
    }
}
