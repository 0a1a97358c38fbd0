//! Commands about one object: `status`, `verify`, `rm` and `renew`.

use clap::Args;
use ostrakon::{AccountId, Amount};

use crate::{target::ObjectArgs, time::Term};

pub(super) const STATUS_HELP: &str = "\
Examples:
  ostrakon status CID
  ostrakon status LINK --probe";

pub(super) const VERIFY_HELP: &str = "\
Example:
  ostrakon verify LINK

Exit code 4 if bytes are wrong, 7 if the object is readable but some columns are missing.";

pub(super) const RM_HELP: &str = "\
Examples:
  ostrakon rm CID
  ostrakon rm CID --yes

The key of a private object is destroyed first: without a copy of the link nobody can ever read the object again.";

pub(super) const RENEW_HELP: &str = "\
Examples:
  ostrakon renew CID --for 30d
  ostrakon renew CID --epochs 720
  ostrakon renew CID --for 30d --auto              renew it whenever it would end
  ostrakon renew CID --for 30d --owner ACCOUNT     pay for what another account stores

Automatic renewals are the ledger's: nothing of yours has to run. Each is paid from your balance when the object would \
end. When that is too little, or a holder asks for more than before and than --max-price, the object ends.";

/// `status`
#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) object: ObjectArgs,
    /// Also ask each holder for the first bytes of its column
    #[arg(long)]
    pub(crate) probe: bool,
}

/// `rm`
#[derive(Debug, Args)]
pub(crate) struct Remove {
    #[command(flatten)]
    pub(crate) object: ObjectArgs,
    /// Do not ask for confirmation
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// `renew`
#[derive(Debug, Args)]
#[command(mut_group("Term", |group| group.required(true).arg("no_auto")))]
pub(crate) struct Renew {
    #[command(flatten)]
    pub(crate) object: ObjectArgs,
    #[command(flatten)]
    pub(crate) term: Term,
    /// Pay holders that ask for more than before, up to this for a GiB and an epoch
    #[arg(long, value_name = "OBOLS")]
    pub(crate) max_price: Option<Amount>,
    /// Account whose object it is, if it is not yours: you pay, and what is not used returns to it
    #[arg(long, value_name = "ACCOUNT", conflicts_with_all = ["max_price", "auto", "no_auto"])]
    pub(crate) owner: Option<AccountId>,
    /// Have the ledger renew it by this term whenever it would end, from your balance
    #[arg(long, conflicts_with = "no_auto")]
    pub(crate) auto: bool,
    /// Do not renew it automatically any more
    #[arg(long, conflicts_with = "max_price")]
    pub(crate) no_auto: bool,
}
