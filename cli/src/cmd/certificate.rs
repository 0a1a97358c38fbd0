//! `ostrakon certificate`: creates and verifies the proof that an object is stored. Verifying needs no network.

use std::{fs, io::Read, path::Path};

use ostrakon::{
    Basis, Certificate as Voucher, Committed, Epoch, Error, ErrorKind, Genesis, PROOF_FILE_MAX, Pace, ProofFileError,
    ledger::SlotState, now_ms, read_genesis,
};
use serde::Serialize;

use super::Home;
use crate::{
    args::{Certificate, CertificateCreate, CertificateVerify},
    exit::usage,
    output::{Output, Paint, Table, bytes_text, count_text},
    time,
};

/// What a certificate proves, and the file that was written.
#[derive(Debug, Serialize)]
struct Certified {
    #[serde(flatten)]
    committed: Committed,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// When the object is not stored or no node responds; of a certificate, when it is not valid.
pub(crate) async fn run(command: Certificate, home: &Home, out: &Output) -> crate::Result<()> {
    match command {
        Certificate::Create(args) => create(args, home, out).await,
        Certificate::Verify(args) => verify(&args, out),
    }
}

async fn create(
    CertificateCreate { object, output }: CertificateCreate,
    home: &Home,
    out: &Output,
) -> crate::Result<()> {
    let object = object.link(home).await?.object;
    let profile = home.public()?;
    let client = home.reader()?;
    let certificate = client.chain().certificate(profile.genesis(), object).await?;
    let committed = certificate.verify(profile.genesis())?;
    let file = output.unwrap_or_else(|| format!("{object}.cert").into());
    write_voucher(&file, &certificate.to_bytes())?;
    let certified = Certified { committed, file: Some(file.display().to_string()) };
    out.answer(&certified, |paint| certified.text(profile.genesis(), paint))?;
    Ok(())
}

fn verify(args: &CertificateVerify, out: &Output) -> crate::Result<()> {
    let genesis = read_genesis(&args.genesis)?;
    let bytes = read_voucher(&args.file)?;
    let committed = Voucher::from_bytes(&bytes).and_then(|read| read.verify(&genesis));
    let believed = |committed: &Committed| committed.basis.check(&genesis, args.checkpoint, now_ms());
    let committed = committed.and_then(|committed| believed(&committed).map(|()| committed));
    let committed = committed.map_err(|error| not_valid(&args.file, error))?;
    let certified = Certified { committed, file: None };
    out.answer(&certified, |paint| certified.text(&genesis, paint))?;
    Ok(())
}

/// A proof that is not one.
pub(super) fn not_valid(path: &Path, error: ProofFileError) -> Error {
    Error::from(error).context(format_args!("{} is not a valid proof", path.display()))
}

/// Reads a proof.
///
/// # Errors
/// When there is none; of one that is longer than any, only as much as shows that is read.
pub(super) fn read_voucher(path: &Path) -> crate::Result<Vec<u8>> {
    let failed = |error: std::io::Error| usage(format!("cannot read {}: {error}", path.display()));
    let most = u64::try_from(PROOF_FILE_MAX).expect("a small constant");
    let mut bytes = Vec::new();
    fs::File::open(path).map_err(failed)?.take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Writes a proof.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn write_voucher(path: &Path, bytes: &[u8]) -> crate::Result<()> {
    let failed = |error| Error::new(ErrorKind::Other, format!("cannot write {}: {error}", path.display()));
    fs::write(path, bytes).map_err(failed)
}

impl Certified {
    fn text(&self, genesis: &Genesis, paint: Paint) -> String {
        let Committed { object, owner, commitments, basis: Basis { height, block, time_ms, .. }, clock } =
            &self.committed;
        let pace = Pace::new(clock, *time_ms, genesis.params.time.epoch_ms);
        let end: Epoch = commitments.iter().map(|extent| extent.end).min().unwrap_or_default();
        let spare = commitments.iter().map(|extent| extent.live().saturating_sub(usize::from(extent.code.k)));
        let losses = u128::try_from(spare.min().unwrap_or(0)).unwrap_or(0);
        let mut table = Table::of([
            ("object", object.to_string()),
            ("size", bytes_text(commitments.first().map_or(0, |first| first.size))),
            ("owner", owner.to_string()),
            ("paid until", format!("{} (epoch {end})", time::of_ms(pace.starts_ms(end)))),
            ("survives", format!("the loss of any {}", count_text(losses, "node", "nodes"))),
            ("as of", format!("{} (block {height})", time::of_ms(*time_ms))),
            ("rests on", format!("{height}:{block}")),
        ]);
        for (number, extent) in commitments.iter().enumerate() {
            let live = format!("{} columns live, code {}", extent.live(), extent.code);
            table.plain([format!("extent {number}"), live]);
            for slot in extent.slots.iter().filter(|slot| slot.state == SlotState::Live) {
                table.plain([String::new(), slot.provider.to_string()]);
            }
        }
        if let Some(file) = &self.file {
            table.plain(["written to".to_owned(), file.clone()]);
        }
        table.render(paint)
    }
}
