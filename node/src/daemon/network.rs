//! `network`: several operators found a network: each writes a card of its node, and one of them creates the genesis of
//! all cards. What a card and a genesis are made of is [`ostrakon_node::founding`]'s.

use std::{
    fs::OpenOptions,
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use ostrakon::key_file;
use ostrakon_node::{
    config::{Config, Overrides, VALIDATOR_KEY_FILE, node_key},
    founding::{Card, CardKeys, Founding, Member, params},
};
use ostrakon_proto::{
    id::{AccountId, Amount},
    ledger::vote::ValidatorKeys,
    sign::Keypair,
};
use serde_json::json;

use super::{DataDir, run::system_ms, say};

/// Bytes of a card at most.
const CARD_MAX: u64 = 64 * 1024;

pub(super) const HELP: &str = "Steps:
  ostrakon-node init --dir DIR ..              each operator: keys and an offer, some with --validator
  ostrakon-node network card --dir DIR -o CARD each operator: a card for the one who creates the network
  ostrakon-node network create --name NAME -o genesis.toml CARD..
                                               one of them, who gives the genesis to all
  ostrakon-node init --dir DIR --genesis genesis.toml
                                               each operator
  ostrakon-node run --dir DIR                  each operator

See `ostrakon-node network create --help` for accounts of clients.";

const CREATE_HELP: &str = "Example:
  ostrakon key create alice.key                prints the address of a client that is to have money
  ostrakon-node network create --name tideline --fund ost1..=1000000 -o genesis.toml anna.card ben.card
  ostrakon init --network genesis.toml --key-file alice.key

Bonds are created with the network, and each owner begins with 1000 obols for fees. The genesis is a text: its \
parameters and its membership may be edited until it is given out; then it is final, and its hash is the network's id.";

#[derive(Debug, Subcommand)]
pub(super) enum NetworkCommand {
    /// Write the node's card: public keys, addresses and offer, signed by the node's keys
    #[command(after_help = "Example:\n  ostrakon-node network card --dir DIR -o anna.card")]
    Card(CardArgs),
    /// Create the genesis of a new network from the cards of its members
    #[command(after_help = CREATE_HELP)]
    Create(CreateArgs),
}

#[derive(Debug, Args)]
pub(super) struct CardArgs {
    #[command(flatten)]
    data_dir: DataDir,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// Name of the network
    #[arg(long, value_name = "NAME")]
    name: String,
    /// Cards of all members; at least one has a validator key, better four
    #[arg(required = true, value_name = "CARD")]
    cards: Vec<PathBuf>,
    /// Money of an account beside those of the owners; repeat it for more
    #[arg(long, value_name = "ACCOUNT=OBOLS")]
    fund: Vec<Fund>,
    /// Minimum length of an epoch, in seconds; how long terms, unbonding and deleted columns last does not depend on it
    #[arg(long, value_name = "SECONDS", default_value_t = 3_600)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=604_800))]
    epoch: u64,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
struct OutputArgs {
    /// File to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Replace the file if it exists
    #[arg(long)]
    overwrite: bool,
}

/// An account and its balance.
#[derive(Clone, Copy, Debug)]
struct Fund(AccountId, Amount);

impl FromStr for Fund {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (account, amount) = text.split_once('=').ok_or("need ACCOUNT=OBOLS, as ost1..=1000")?;
        let account = account.parse().map_err(|error: ostrakon_proto::id::ParseIdError| error.to_string())?;
        let amount = amount.parse().map_err(|error: ostrakon_proto::id::ParseAmountError| error.to_string())?;
        Ok(Self(account, amount))
    }
}

pub(super) fn network(command: NetworkCommand) -> anyhow::Result<()> {
    match command {
        NetworkCommand::Card(args) => card(&args),
        NetworkCommand::Create(args) => create(args),
    }
}

fn card(args: &CardArgs) -> anyhow::Result<()> {
    let dir = &args.data_dir.dir;
    let config = Config::load(dir, &Overrides::default())?;
    let offer = config.provider.with_context(|| {
        format!("{} offers no storage: create it with `ostrakon-node init --address ..`", dir.display())
    })?;
    ensure!(
        !offer.behind_nat,
        "a node behind NAT cannot found a network, in which none relays for it yet: it joins one that runs, with \
         `ostrakon-node init --genesis FILE`"
    );
    let owner = Keypair::from_seed(key_file::read(dir.join(&offer.owner_key_file))?.bytes());
    let vote = dir.join(VALIDATOR_KEY_FILE);
    let validator = match vote.exists() {
        true => Some(ValidatorKeys::from_seed(key_file::read(&vote)?.bytes())),
        false => None,
    };
    let keys = CardKeys { node: node_key(dir)?, owner, validator };
    let member = Member {
        node: keys.node.public(),
        owner: keys.owner.public(),
        addresses: offer.addresses,
        price_obols: offer.price_obols,
        capacity_bytes: offer.capacity_bytes,
        domain: offer.domain,
        validator: keys.validator(),
    };
    let card = Card::sign(member, &keys);
    args.output.write(&toml::to_string(&card).context("a card has nothing that TOML cannot express")?)?;
    let (member, path) = (card.member, &args.output.output);
    let validator = member.validator.map(|validator| validator.key);
    say(&format!("{:#}\n", json!({ "file": path, "node": member.node, "owner": member.owner, "validator": validator })))
}

fn create(args: CreateArgs) -> anyhow::Result<()> {
    let CreateArgs { name, cards, fund, epoch, output } = args;
    let read: Vec<_> = cards.iter().map(|path| (path.display().to_string(), read_card(path))).collect();
    let mut wrong: Vec<String> = read.iter().filter_map(|(_, card)| Some(card.as_ref().err()?.to_string())).collect();
    let cards: Vec<(String, Card)> = read.into_iter().filter_map(|(path, card)| Some((path, card.ok()?))).collect();
    let time_ms = system_ms();
    let funds = fund.into_iter().map(|Fund(account, amount)| (account, amount)).collect();
    let genesis = Founding { name, time_ms, params: params(epoch), funds }.genesis(&cards);
    let genesis = genesis.map_err(|more| wrong.extend(more)).ok().filter(|_| wrong.is_empty());
    let Some(genesis) = genesis else { bail!("no network was created:\n  {}", wrong.join("\n  ")) };
    output.write(&toml::to_string(&genesis).context("a genesis has nothing that TOML cannot express")?)?;
    say(&format!(
        "{:#}\n",
        json!({
            "file": output.output,
            "name": genesis.name,
            "chain": genesis.id(),
            "providers": genesis.providers.len(),
            "validators": genesis.validators.len(),
        })
    ))
}

fn read_card(path: &Path) -> anyhow::Result<Card> {
    let shown = || path.display().to_string();
    let length = path.metadata().with_context(shown)?.len();
    ensure!(length <= CARD_MAX, "{} is not a card: it has {length} bytes, over the limit of {CARD_MAX}", shown());
    let text = std::fs::read_to_string(path).with_context(shown)?;
    toml::from_str(&text).map_err(|error| anyhow::anyhow!("{} is not a card: {}", shown(), error.message()))
}

impl OutputArgs {
    /// Writes the file; one that exists is replaced only when asked to.
    fn write(&self, text: &str) -> anyhow::Result<()> {
        let (path, overwrite) = (&self.output, self.overwrite);
        let mut options = OpenOptions::new();
        options.write(true).create(overwrite).truncate(overwrite).create_new(!overwrite);
        let file = options.open(path).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => anyhow::anyhow!("{} exists: replace it with --overwrite", path.display()),
            _ => anyhow::Error::from(error).context(path.display().to_string()),
        });
        file?.write_all(text.as_bytes()).with_context(|| path.display().to_string())
    }
}
