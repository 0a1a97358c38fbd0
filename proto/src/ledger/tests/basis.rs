//! What an upload is planned by: everything that a client needs to draw, and nothing in it can be false.

use super::world::{World, alice, id, key};
use crate::{
    codec,
    id::{Amount, Height},
    ledger::{
        DrawChance, pulse_height,
        state::{Record, Records},
        tx::{Action, DrawAs, DrawPermission, Header},
    },
    light::{BadAnswer, BasisQuery, ProvenBasis, UploadBasis},
    params::{Class, Code, CodeChoice},
    placement::{Caps, Draw, DrawSeed, RosterTree, draw},
    sign::Keypair,
};

fn query(who: &Keypair, code: CodeChoice) -> BasisQuery {
    BasisQuery { account: id(who), code, draw: 19, known: None }
}

/// An honest node's answer, and the header that it is proven against.
fn answer(world: &World, query: &BasisQuery) -> (UploadBasis, Header) {
    let (keys, roster) = query.gather(&world.state);
    let (records, header) = world.proven(&keys);
    (UploadBasis { records, roster }, header)
}

fn verified(world: &World, query: &BasisQuery) -> ProvenBasis {
    let (answer, header) = answer(world, query);
    answer.verify(query, &header).expect("an honest answer")
}

#[test]
fn it_is_enough_to_draw_by() {
    let mut world = World::new();
    world.wait_for(2);
    for choice in [CodeChoice::Class(Class::Standard), CodeChoice::Code(Code { k: 2, n: 4 })] {
        let basis = verified(&world, &query(&alice(), choice));
        let record = basis.epoch.expect("an epoch to draw in");
        let code = basis.params.code(choice, record.roster.eligible()).expect("there are fourteen");
        let caps = Caps::of(&record.roster, code, basis.params.min_domains).expect("they are spread");
        let which = Draw { epoch: record.epoch, number: 19 % basis.params.draws };
        let randomness = record.beacon.expect("complete");
        let seed = DrawSeed { randomness, account: id(&alice()), draw: which, extent: 0 };
        let drawn = draw(&basis.roster, &seed, code, &caps).expect("it shows the draw");
        let nodes: Vec<_> = drawn.iter().map(|entry| entry.provider).collect();
        assert_eq!(basis.providers.iter().map(|provider| provider.node).collect::<Vec<_>>(), nodes);
        assert_eq!(basis.account, world.account(&alice()));
    }
    let wide = verified(&world, &query(&alice(), CodeChoice::Code(Code { k: 100, n: 200 })));
    assert!(wide.epoch.is_some() && wide.providers.is_empty(), "the network cannot carry that");
    let known = BasisQuery { known: wide.epoch.map(|record| record.epoch), ..query(&alice(), CodeChoice::default()) };
    let known = verified(&world, &known);
    assert!(known.epoch.is_none() && known.providers.is_empty(), "the client knows the roster");
}

#[test]
fn a_young_account_gets_its_pulse() {
    let (mut world, newcomer) = World::with_newcomer();
    let stranger = verified(&world, &query(&key(91), CodeChoice::default()));
    assert_eq!(stranger.account, crate::ledger::state::Account::default(), "it does not exist");
    let since = world.account(&newcomer).since;
    let DrawChance::Pulse(number) = DrawChance::of(Height(0), since, 2) else { panic!("it is young") };
    let early = verified(&world, &query(&newcomer, CodeChoice::default()));
    assert!(early.pulse.is_none() && early.providers.is_empty() && early.account.since == since);
    while world.state.tip().height < pulse_height(number, 2) {
        world.block(vec![]);
    }
    let basis = verified(&world, &query(&newcomer, CodeChoice::default()));
    assert_eq!(basis.pulse, world.state.pulse(number));
    assert!(!basis.providers.is_empty());
}

#[test]
fn an_account_that_draws_as_another_gets_the_holders_of_that_one() {
    let (mut world, newcomer) = World::with_newcomer();
    let permission = DrawPermission::sign(&alice(), &world.rules.chain, &id(&newcomer));
    world.does(&newcomer, Action::DrawAs(DrawAs { permission: Some(permission) }));
    let [own, of_alice] =
        [newcomer, alice()].map(|account| verified(&world, &query(&account, CodeChoice::default())).providers);
    assert!(!own.is_empty() && own == of_alice, "without waiting");
}

#[test]
fn nothing_in_it_can_be_false() {
    let mut world = World::new();
    world.wait_for(1);
    let asked = query(&alice(), CodeChoice::default());
    let (honest, header) = answer(&world, &asked);
    let count = honest.records.len();
    let lie = |desc: &str, change: &dyn Fn(&mut UploadBasis), expect: &dyn Fn(&BadAnswer) -> bool| {
        let mut told = honest.clone();
        change(&mut told);
        let error = told.verify(&asked, &header).expect_err(desc);
        assert!(expect(&error), "{desc}: {error}");
    };
    let others = |error: &BadAnswer| matches!(error, BadAnswer::OtherKeys { .. });
    let unproven = |error: &BadAnswer| matches!(error, BadAnswer::Record { .. });
    let roster = |error: &BadAnswer| *error == BadAnswer::Roster;
    for at in 0..count {
        lie("a record less", &|told| _ = told.records.remove(at), &others);
        lie("a record twice", &|told| told.records.insert(at, told.records[at].clone()), &others);
        lie("a record hidden", &|told| told.records[at].value = None, &unproven);
    }
    lie("no providers", &|told| told.records.truncate(4), &others);
    lie("the others first", &|told| told.records.swap(4, 5), &others);
    lie("nobody to draw", &|told| told.roster = RosterTree::default(), &roster);
    let heavier = |told: &mut UploadBasis| {
        let raised = told.roster.leaves().map(|entry| {
            let mut entry = *entry;
            entry.offer.weight += 1;
            entry
        });
        told.roster = raised.collect();
    };
    lie("other weights", &heavier, &roster);
    let richer = |told: &mut UploadBasis| {
        let account = crate::ledger::state::Account { balance: Amount(u64::MAX), ..world.account(&alice()) };
        told.records[2].value = Some(codec::encode(&Record::Account(account)));
    };
    lie("more money", &richer, &unproven);
    let draws_other = BasisQuery { draw: asked.draw + 1, ..asked.clone() };
    let error = honest.clone().verify(&draws_other, &header).expect_err("another draw");
    assert!(others(&error), "{error}");
}
