//! register: registers a node as a provider of the sender, or updates what it offers.
//!
//! The bond may be raised, and returns only when the provider has left. Stored data stays as it was bought: capacity
//! cannot fall below it, and the domain cannot change while there is any. One that was suspended and stores nothing any
//! more takes part again with this.

use crate::{
    id::{AccountId, Amount, ChainId, Id, NodeId},
    ledger::{
        action::ActionContext,
        error::TxError,
        money::{self, Pool},
        roster::Listing,
        rules::Rules,
        state::{Audited, Domain, Key, Provider, ProviderStatus, Records},
        tx::{Consent, Register},
    },
    limits,
    params::Params,
    sign::{Purpose, Signature, verify},
};

pub(super) fn form(rules: &Rules, owner: AccountId, register: &Register) -> Result<(), TxError> {
    let node = register.node;
    check_offer(&node, &register.addresses, &register.domain)?;
    verify(&node, &register.consent, Purpose::Consent, &rules.chain, &Consent { owner, node })
        .map_err(|_| TxError::Consent { node })
}

/// Checks a provider's key, addresses and domain.
pub(in crate::ledger) fn check_offer(node: &NodeId, addresses: &[String], domain: &Domain) -> Result<(), TxError> {
    if is_weak(node) {
        return Err(TxError::WeakKey { node: *node });
    }
    check_addresses(addresses)?;
    if domain.is_valid() { Ok(()) } else { Err(TxError::DomainName) }
}

/// Checks a node's addresses.
pub(in crate::ledger) fn check_addresses(addresses: &[String]) -> Result<(), TxError> {
    let is_few = (1..=limits::ADDRESSES).contains(&addresses.len());
    let is_short = addresses.iter().map(String::len).sum::<usize>() <= limits::ADDRESSES_LENGTH;
    match is_few && is_short && addresses.iter().all(|text| is_address(text)) {
        true => Ok(()),
        false => Err(TxError::Addresses),
    }
}

impl Domain {
    /// Whether the ledger takes its names: lower case only, so that each has one spelling.
    pub fn is_valid(&self) -> bool {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        let is_name = |text: &String| (1..=limits::NAME).contains(&text.len()) && text.bytes().all(allowed);
        [&self.operator, &self.infrastructure, &self.region].into_iter().all(is_name)
    }
}

/// Whether the key is a point of small order: only for those is the identity with scalar zero a valid signature of
/// every message.
pub(in crate::ledger) fn is_weak<K>(key: &Id<K>) -> bool {
    let mut universal = Signature([0; 64]);
    universal.0[0] = 1;
    let chain = ChainId::new([0; 32]);
    verify(key, &universal, Purpose::Consent, &chain, "weak").is_ok()
}

fn is_address(text: &str) -> bool {
    // The one node that an address names is the relay that it leads through.
    let names_relay = |(_, relay): (&str, &str)| relay.strip_suffix("/p2p-circuit").is_some_and(|id| !id.contains('/'));
    text.starts_with('/')
        && text.bytes().all(|byte| byte.is_ascii_graphic())
        && text.split_once("/p2p/").is_none_or(names_relay)
}

pub(super) fn apply(context: &mut ActionContext<'_, '_>, register: &Register) -> Result<(), TxError> {
    match context.draft.provider(&register.node) {
        Some(Provider { status: ProviderStatus::Exited { until }, .. }) => Err(TxError::Unbonding { until }),
        Some(provider) => update(context, provider, register),
        None => found(context, register),
    }
}

/// Checks that a provider's bond is not below the least.
pub(in crate::ledger) fn check_least(params: &Params, bond: Amount) -> Result<(), TxError> {
    let least = params.bonds.provider;
    if bond < least { Err(TxError::BondTooLow { least, bond }) } else { Ok(()) }
}

fn found(context: &mut ActionContext<'_, '_>, register: &Register) -> Result<(), TxError> {
    let (node, bond) = (register.node, register.bond);
    if !context.admits(Key::AdmittedProvider(node)) {
        return Err(TxError::NodeNotAdmitted { node });
    }
    check_least(&context.rules.params, bond)?;
    money::lock(context.draft, &context.account, bond, Pool::Bonds)?;
    context.draft.gain(&context.account);
    context.draft.put_provider(Provider {
        owner: context.account,
        node,
        addresses: register.addresses.clone(),
        domain: register.domain.clone(),
        price: register.price,
        capacity: register.capacity,
        used: 0,
        bond,
        collateral: Amount::ZERO,
        status: ProviderStatus::Active,
        listing: Listing::default(),
        audited: Audited::begun(context.epoch()),
    });
    Ok(())
}

fn update(context: &mut ActionContext<'_, '_>, provider: Provider, register: &Register) -> Result<(), TxError> {
    let Provider { owner, node, used, .. } = provider;
    if owner != context.account {
        return Err(TxError::OtherOwner { node, owner });
    }
    if register.capacity < used {
        return Err(TxError::CapacityBelowUsed { used, capacity: register.capacity });
    }
    // What it had when the epoch began counts for its infrastructure until the epoch ends.
    let in_use = used.max(provider.frozen_bytes(context.epoch()));
    if register.domain != provider.domain && in_use > 0 {
        return Err(TxError::DomainInUse { used: in_use });
    }
    let (have, bond) = (provider.bond, register.bond);
    let more = bond.minus(have).ok_or(TxError::BondLowered { have, bond })?;
    money::lock(context.draft, &owner, more, Pool::Bonds)?;
    let (mut status, mut audited) = (provider.status, provider.audited);
    // With nothing left to prove, this alone shows that it is there.
    if used == 0 && status == ProviderStatus::Suspended {
        (status, audited.missed) = (ProviderStatus::Active, 0);
        audited.returned();
    }
    context.draft.put_provider(Provider {
        addresses: register.addresses.clone(),
        domain: register.domain.clone(),
        price: register.price,
        capacity: register.capacity,
        bond,
        status,
        audited,
        ..provider
    });
    Ok(())
}
