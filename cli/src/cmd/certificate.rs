//! `ostrakon certificate`: writes and checks the proof that an object is committed. Checking needs no network.

use std::{fs, path::Path};

use ostrakon::{Error, ErrorKind};
use ostrakon_proto::{
    id::ObjectId,
    ledger::{Genesis, state::SlotState},
    light::voucher::{Certificate, Committed, VOUCHER_MAX},
};
use serde::Serialize;

use super::Home;
use crate::{
    args::{CertificateArgs, CertificateVerify},
    exit::{failure, usage},
    output::{Output, Paint, Table, bytes_text},
};

/// What `--json` prints of a certificate: scripts rely on these fields.
#[derive(Debug, Serialize)]
struct CertificateObject {
    cid: String,
    owner: String,
    size: u64,
    expires_epoch: u64,
    /// Losses of nodes after which each extent can still be read.
    tolerates: usize,
    height: u64,
    time_ms: u64,
    extents: Vec<ExtentObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
}

#[derive(Debug, Serialize)]
struct ExtentObject {
    code: String,
    live: usize,
    holders: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// When the object is not committed or nobody can be asked; of a file, when it proves nothing.
pub(crate) async fn run(args: CertificateArgs, home: &Home, out: &Output) -> anyhow::Result<()> {
    match (args.command, args.link) {
        (Some(crate::args::CertificateCommand::Verify(args)), _) => verify(&args, out),
        (None, Some(link)) => write(link.object, args.output.as_deref(), home, out).await,
        (None, None) => Err(usage("name an object: `ostrakon certificate CID -o FILE`")),
    }
}

async fn write(object: ObjectId, output: Option<&Path>, home: &Home, out: &Output) -> anyhow::Result<()> {
    let profile = home.profile()?;
    let client = profile.connect()?;
    let certificate = client.chain().certificate(profile.genesis(), object).await;
    let certificate = certificate.map_err(Error::from)?;
    let certified = certificate.verify(profile.genesis())?;
    let file = output.map_or_else(|| format!("{object}.cert").into(), Path::to_owned);
    fs::write(&file, certificate.to_bytes())
        .map_err(|error| failure(ErrorKind::Other, format!("cannot write {}: {error}", file.display())))?;
    let shown = file.display().to_string();
    let object = CertificateObject { file: Some(shown), ..CertificateObject::new(&certified) };
    out.answer(&object, |paint| object.text(paint))?;
    Ok(())
}

fn verify(args: &CertificateVerify, out: &Output) -> anyhow::Result<()> {
    let genesis = read_genesis(&args.genesis)?;
    let bytes = read_bounded(&args.file)?;
    let proves_nothing =
        |error| failure(ErrorKind::Integrity, format!("{} proves nothing: {error}", args.file.display()));
    let certified = Certificate::from_bytes(&bytes).and_then(|read| read.verify(&genesis)).map_err(proves_nothing)?;
    let object = CertificateObject::new(&certified);
    out.answer(&object, |paint| object.text(paint))?;
    Ok(())
}

/// Reads a genesis file and checks it.
///
/// # Errors
/// When there is none, or it is wrong.
pub(super) fn read_genesis(path: &Path) -> anyhow::Result<Genesis> {
    let text = fs::read_to_string(path).map_err(|error| usage(format!("cannot read {}: {error}", path.display())))?;
    let genesis: Genesis =
        toml::from_str(&text).map_err(|error| usage(format!("{} is no genesis: {error}", path.display())))?;
    genesis.validate().map_err(|error| usage(format!("{}: {error}", path.display())))?;
    Ok(genesis)
}

/// Reads a proof.
///
/// # Errors
/// When there is none, or it is longer than any.
pub(super) fn read_bounded(path: &Path) -> anyhow::Result<Vec<u8>> {
    use std::io::Read;
    let failed = |error: std::io::Error| usage(format!("cannot read {}: {error}", path.display()));
    let most = u64::try_from(VOUCHER_MAX).expect("a small constant");
    let mut bytes = Vec::new();
    fs::File::open(path).map_err(failed)?.take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

impl CertificateObject {
    fn new(certified: &Committed) -> Self {
        let commitments = &certified.commitments;
        let spare = |live: usize, k: u8| live.saturating_sub(usize::from(k));
        Self {
            cid: certified.object.to_string(),
            owner: certified.owner.to_string(),
            size: commitments.first().map_or(0, |first| first.size),
            expires_epoch: commitments.iter().map(|commitment| commitment.end.0).min().unwrap_or(0),
            tolerates: commitments.iter().map(|extent| spare(extent.live(), extent.code.k)).min().unwrap_or(0),
            height: certified.height.0,
            time_ms: certified.time_ms,
            extents: commitments
                .iter()
                .map(|commitment| ExtentObject {
                    code: commitment.code.to_string(),
                    live: commitment.live(),
                    holders: commitment
                        .slots
                        .iter()
                        .filter(|slot| slot.state == SlotState::Live)
                        .map(|slot| ostrakon_net::peer_id_text(&slot.provider))
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
        table.plain(["paid until".to_owned(), format!("epoch {}", self.expires_epoch)]);
        table.plain(["survives".to_owned(), format!("the loss of any {} of its nodes", self.tolerates)]);
        table.plain(["as of".to_owned(), format!("block {} at {} ms", self.height, self.time_ms)]);
        for (number, extent) in self.extents.iter().enumerate() {
            let live = format!("{} of {} columns live", extent.live, extent.code);
            table.plain([format!("extent {number}"), live]);
            for holder in &extent.holders {
                table.plain([String::new(), holder.clone()]);
            }
        }
        if let Some(file) = &self.file {
            table.plain(["written to".to_owned(), file.clone()]);
        }
        table.render(paint)
    }
}
