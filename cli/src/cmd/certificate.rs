//! `ostrakon certificate`: creates and verifies the proof that an object is stored. Verifying needs no network.

use std::{fs, io::Read, path::Path};

use ostrakon::{Error, ErrorKind, Pace, read_genesis};
use ostrakon_proto::{
    id::{Epoch, NodeId},
    ledger::{Genesis, state::SlotState},
    light::proof_file::{Certificate as Voucher, Committed, PROOF_FILE_MAX, ProofFileError},
};
use serde::Serialize;

use super::Home;
use crate::{
    args::{Certificate, CertificateCreate, CertificateVerify},
    exit::{failure, usage},
    output::{Output, Paint, Table, bytes_text, count_text},
    time,
};

/// What `--json` prints of a certificate: scripts rely on these fields.
#[derive(Debug, Serialize)]
struct CertificateObject {
    cid: String,
    owner: String,
    size: u64,
    expires_epoch: u64,
    expires: String,
    /// Losses of nodes after which each extent can still be read.
    tolerates: usize,
    height: u64,
    time_ms: u64,
    time: String,
    extents: Vec<ExtentObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
}

#[derive(Debug, Serialize)]
struct ExtentObject {
    code: String,
    live: usize,
    holders: Vec<NodeId>,
}

/// Runs the command.
///
/// # Errors
/// When the object is not stored or no node responds; of a certificate, when it is not valid.
pub(crate) async fn run(command: Certificate, home: &Home, out: &Output) -> anyhow::Result<()> {
    match command {
        Certificate::Create(args) => create(args, home, out).await,
        Certificate::Verify(args) => verify(&args, out),
    }
}

async fn create(
    CertificateCreate { object, output }: CertificateCreate,
    home: &Home,
    out: &Output,
) -> anyhow::Result<()> {
    let object = object.link(home).await?.object;
    let profile = home.public()?;
    let client = profile.connect()?;
    let certificate = client.chain().certificate(profile.genesis(), object).await.map_err(Error::from)?;
    let certified = certificate.verify(profile.genesis())?;
    let file = output.unwrap_or_else(|| format!("{object}.cert").into());
    write_voucher(&file, &certificate.to_bytes())?;
    let shown = Some(file.display().to_string());
    let object = CertificateObject { file: shown, ..CertificateObject::new(&certified, profile.genesis()) };
    out.answer(&object, |paint| object.text(paint))?;
    Ok(())
}

fn verify(args: &CertificateVerify, out: &Output) -> anyhow::Result<()> {
    let genesis = read_genesis(&args.genesis)?;
    let bytes = read_voucher(&args.file)?;
    let certified = Voucher::from_bytes(&bytes).and_then(|read| read.verify(&genesis));
    let certified = certified.map_err(|error| not_valid(&args.file, error))?;
    let object = CertificateObject::new(&certified, &genesis);
    out.answer(&object, |paint| object.text(paint))?;
    Ok(())
}

/// A proof that is not one.
pub(super) fn not_valid(path: &Path, error: ProofFileError) -> anyhow::Error {
    Error::from(error).context(format_args!("{} is not a valid proof", path.display())).into()
}

/// Reads a proof.
///
/// # Errors
/// When there is none; of one that is longer than any, only as much as shows that is read.
pub(super) fn read_voucher(path: &Path) -> anyhow::Result<Vec<u8>> {
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
pub(super) fn write_voucher(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let failed = |error| failure(ErrorKind::Other, format!("cannot write {}: {error}", path.display()));
    fs::write(path, bytes).map_err(failed)
}

impl CertificateObject {
    fn new(certified: &Committed, genesis: &Genesis) -> Self {
        let commitments = &certified.commitments;
        let spare = |live: usize, k: u8| live.saturating_sub(usize::from(k));
        let pace = Pace::new(genesis.time_ms, (certified.height, certified.time_ms), genesis.params.epoch_blocks);
        let end: Epoch = commitments.iter().map(|commitment| commitment.end).min().unwrap_or_default();
        Self {
            cid: certified.object.to_string(),
            owner: certified.owner.to_string(),
            size: commitments.first().map_or(0, |first| first.size),
            expires_epoch: end.0,
            expires: time::of_ms(pace.starts_ms(end)),
            tolerates: commitments.iter().map(|extent| spare(extent.live(), extent.code.k)).min().unwrap_or(0),
            height: certified.height.0,
            time_ms: certified.time_ms,
            time: time::of_ms(certified.time_ms),
            extents: commitments
                .iter()
                .map(|commitment| ExtentObject {
                    code: commitment.code.to_string(),
                    live: commitment.live(),
                    holders: commitment
                        .slots
                        .iter()
                        .filter(|slot| slot.state == SlotState::Live)
                        .map(|slot| slot.provider)
                        .collect(),
                })
                .collect(),
            file: None,
        }
    }

    fn text(&self, paint: Paint) -> String {
        let mut table = Table::new(0);
        table.plain(["object".to_owned(), self.cid.clone()]);
        table.plain(["size".to_owned(), bytes_text(self.size)]);
        table.plain(["owner".to_owned(), self.owner.clone()]);
        table.plain(["paid until".to_owned(), format!("{} (epoch {})", self.expires, self.expires_epoch)]);
        let losses = count_text(u128::try_from(self.tolerates).unwrap_or(0), "node", "nodes");
        table.plain(["survives".to_owned(), format!("the loss of any {losses}")]);
        table.plain(["as of".to_owned(), format!("{} (block {})", self.time, self.height)]);
        for (number, extent) in self.extents.iter().enumerate() {
            let live = format!("{} columns live, code {}", extent.live, extent.code);
            table.plain([format!("extent {number}"), live]);
            for holder in &extent.holders {
                table.plain([String::new(), holder.to_string()]);
            }
        }
        if let Some(file) = &self.file {
            table.plain(["written to".to_owned(), file.clone()]);
        }
        table.render(paint)
    }
}
