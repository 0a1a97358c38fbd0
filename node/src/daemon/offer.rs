//! What a new node offers as a provider: from flags, and on a terminal by questions for what is missing.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    path::PathBuf,
};

use anyhow::{Context, bail, ensure};
use clap::Args;
use ostrakon_net::swarm::SwarmLimits;
use ostrakon_node::config::{ProviderConfig, announced};
use ostrakon_proto::{
    id::{Amount, ParseAmountError},
    ledger::state::Domain,
    size,
};

/// Price of one GiB for one epoch, where the operator names none.
const PRICE: Amount = Amount(1_000);
/// Name of the owner's key in a data directory.
pub(super) const OWNER_KEY_FILE: &str = "owner.key";

#[derive(Debug, Default, Args)]
pub(super) struct OfferArgs {
    /// Offer storage at this public address of the node, such as /ip4/192.0.2.1/tcp/4001, or with ip6, or with a name
    /// after dns; repeat it for more
    #[arg(long = "address", value_name = "MULTIADDR", value_parser = parse_announced)]
    addresses: Vec<String>,
    /// Offer storage without a public address, because a router (NAT) or firewall lets no connections in: the router is
    /// asked to forward a port, two nodes of the network relay for this one, and bulk goes directly where the
    /// routers let both sides connect
    #[arg(long, conflicts_with = "addresses")]
    behind_nat: bool,
    /// Whether the node asks the router, by UPnP, to forward a TCP port to it [default: with --behind-nat]
    #[arg(long, value_name = "BOOL")]
    map_port: Option<bool>,
    /// Storage offered, such as 500G or 2T
    #[arg(long, value_name = "SIZE", value_parser = size::bytes)]
    capacity: Option<u64>,
    /// Price of one GiB for one epoch [default: 0.001]
    #[arg(long, value_name = "OBOLS")]
    price: Option<Amount>,
    /// Failure domain: what this node fails together with
    #[arg(long, value_name = "OPERATOR/INFRASTRUCTURE/REGION", value_parser = parse_domain)]
    domain: Option<Domain>,
    /// Key file of the account that bonds and is paid [default: owner.key in the data directory, created]
    #[arg(long, value_name = "FILE")]
    owner_key: Option<PathBuf>,
}

impl OfferArgs {
    pub(super) fn is_empty(&self) -> bool {
        let Self { addresses, behind_nat, map_port, capacity, price, domain, owner_key } = self;
        addresses.is_empty()
            && !behind_nat
            && map_port.is_none()
            && capacity.is_none()
            && price.is_none()
            && domain.is_none()
            && owner_key.is_none()
    }

    /// The offer; `None` when nothing is offered.
    pub(super) fn complete(&self) -> anyhow::Result<Option<ProviderConfig>> {
        if io::stdin().is_terminal() {
            return self.asked(&mut answer);
        }
        match (&self.domain, self.capacity) {
            _ if self.is_empty() => Ok(None),
            (Some(domain), Some(capacity)) if self.behind_nat || !self.addresses.is_empty() => {
                self.provider((self.addresses.clone(), domain.clone()), capacity, self.price.unwrap_or(PRICE)).map(Some)
            }
            _ => bail!(
                "to offer storage, give --address or --behind-nat, --capacity and --domain, or run this on a terminal"
            ),
        }
    }

    /// The offer, with questions for what is missing; `lines` returns what is typed.
    fn asked(&self, lines: &mut Lines<'_>) -> anyhow::Result<Option<ProviderConfig>> {
        let mut addresses = self.addresses.clone();
        if addresses.is_empty() && !self.behind_nat {
            let question = "Public address, as /ip4/192.0.2.1/tcp/4001 or /dns/node.example/tcp/4001; none to offer no \
                            storage";
            let address = |text: &str| if text.is_empty() { Ok(None) } else { parse_announced(text).map(Some) };
            addresses.extend(ask(lines, question, Some(""), address)?);
        }
        if addresses.is_empty() && !self.behind_nat {
            ensure!(self.is_empty(), "without a public address or --behind-nat no storage can be offered");
            return Ok(None);
        }
        let capacity = self.capacity.map_or_else(|| ask(lines, "Storage to offer", Some("1T"), size::bytes), Ok)?;
        let (question, usual) = ("Price of one GiB for one epoch, in obols", PRICE.to_string());
        let amount = |text: &str| text.parse().map_err(|error: ParseAmountError| error.to_string());
        let price = self.price.map_or_else(|| ask(lines, question, Some(&usual), amount), Ok)?;
        let question = "What it fails together with, as OPERATOR/INFRASTRUCTURE/REGION";
        let domain = self.domain.clone().map_or_else(|| ask(lines, question, None, parse_domain), Ok)?;
        self.provider((addresses, domain), capacity, price).map(Some)
    }

    fn provider(
        &self,
        (addresses, domain): (Vec<String>, Domain),
        capacity_bytes: u64,
        price_obols: Amount,
    ) -> anyhow::Result<ProviderConfig> {
        let owner_key_file = match &self.owner_key {
            // The configuration takes it relative to the data directory.
            Some(path) => path.canonicalize().with_context(|| path.display().to_string())?,
            None => PathBuf::from(OWNER_KEY_FILE),
        };
        let (behind_nat, map_port, relayed_connections) = (self.behind_nat, self.map_port, SwarmLimits::CIRCUITS);
        Ok(ProviderConfig {
            owner_key_file,
            addresses,
            behind_nat,
            map_port,
            relayed_connections,
            price_obols,
            capacity_bytes,
            bond_obols: None,
            domain,
        })
    }
}

/// What is typed after a text is shown.
type Lines<'a> = dyn FnMut(&str) -> anyhow::Result<String> + 'a;

/// Asks until the answer can be read; an empty one means `usual`.
fn ask<T>(
    lines: &mut Lines<'_>,
    question: &str,
    usual: Option<&str>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> anyhow::Result<T> {
    let mut prompt = match usual {
        None | Some("") => format!("{question}: "),
        Some(usual) => format!("{question} [{usual}]: "),
    };
    loop {
        let typed = lines(&prompt)?;
        let answer = match (typed.trim(), usual) {
            ("", Some(usual)) => usual,
            (answer, _) => answer,
        };
        match parse(answer) {
            Ok(value) => return Ok(value),
            Err(reason) => prompt = format!("{reason}\n{question}: "),
        }
    }
}

/// Asks on the terminal.
fn answer(prompt: &str) -> anyhow::Result<String> {
    let mut terminal = io::stderr().lock();
    write!(terminal, "{prompt}").and_then(|()| terminal.flush())?;
    let mut line = String::new();
    ensure!(io::stdin().lock().read_line(&mut line)? > 0, "no answer: nothing was created");
    Ok(line)
}

pub(super) fn parse_announced(text: &str) -> Result<String, String> {
    announced(text).map(|()| text.to_owned()).map_err(|reason| format!("{text:?} {reason}"))
}

pub(super) fn parse_domain(text: &str) -> Result<Domain, String> {
    let parts: Vec<&str> = text.split('/').collect();
    let [operator, infrastructure, region] = parts.as_slice() else {
        return Err("invalid domain: need OPERATOR/INFRASTRUCTURE/REGION".to_owned());
    };
    let part = |text: &&str| (*text).to_owned();
    let domain = Domain { operator: part(operator), infrastructure: part(infrastructure), region: part(region) };
    match domain.is_valid() {
        true => Ok(domain),
        false => Err("invalid domain: each part needs 1 to 64 characters of a-z 0-9 . _ -".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        offer: OfferArgs,
    }

    fn asked(flags: &[&str], typed: &[&str]) -> (Result<Option<ProviderConfig>, String>, Vec<String>) {
        let line = Line::parse_from([&["init"], flags].concat());
        let (mut typed, mut prompts) = (typed.iter(), Vec::new());
        let mut lines = |prompt: &str| {
            prompts.push(prompt.to_owned());
            typed.next().map(|line| format!("{line}\n")).context("nobody types any more")
        };
        let offer = line.offer.asked(&mut lines).map_err(|error| error.to_string());
        (offer, prompts)
    }

    #[test]
    fn what_flags_leave_open_is_asked() {
        let address = "/ip4/192.0.2.1/tcp/4001";
        let (offer, prompts) = asked(&[], &["192.0.2.1:4001", address, "", "0.002", "a/b", "alice/hetzner/fi"]);
        let offer = offer.expect("an offer").expect("storage is offered");
        assert_eq!((offer.addresses, offer.capacity_bytes), (vec![address.to_owned()], 1 << 40));
        assert_eq!((offer.price_obols, offer.domain.to_string().as_str()), (Amount(2_000), "alice/hetzner/fi"));
        assert!(prompts[1].contains(address), "what to write instead: {prompts:?}");
        let flags = ["--address", address, "--capacity", "5G", "--domain", "alice/hetzner/fi", "--price", "1"];
        let (offer, prompts) = asked(&flags, &[]);
        assert_eq!((offer.expect("an offer").map(|offer| offer.capacity_bytes), prompts.len()), (Some(5 << 30), 0));
    }

    #[test]
    fn a_node_behind_nat_needs_no_address() {
        let (offer, prompts) = asked(&["--behind-nat", "--capacity", "5G", "--price", "1"], &["alice/home/fi"]);
        let offer = offer.expect("an offer").expect("storage is offered");
        assert_eq!((offer.addresses.len(), prompts.len()), (0, 1), "{prompts:?}");
    }

    #[test]
    fn nobody_has_to_offer_anything() {
        assert_eq!(asked(&[], &[""]).0, Ok(None));
        assert!(asked(&["--capacity", "5G"], &[""]).0.expect_err("nowhere").contains("public address"));
        assert!(asked(&[], &[]).0.is_err());
    }
}
