//! Small objects of one client and of many: of ours, what the ledger and the holders pay for them too; then the same of
//! one node of Garage, which has every write on disk before it answers, and which has not.

use std::time::Duration;

use anyhow::Result;
use ostrakon_benches::{
    figures::Sheet,
    float,
    garage::{self, GarageCluster, REGION},
    wanted::Wanted,
};
use ostrakon_tests::process::say;

use crate::{
    crowd::{Crowd, Done, SIZE},
    options::Options,
    s3::Target,
    sign::Signer,
    stage::Stage,
};

/// How many clients.
const CROWDS: [usize; 3] = [1, 32, 256];
/// How many times the rate of one client those of a crowd have together.
const TIMES: [Option<f64>; 3] = [None, Some(16.0), Some(100.0)];
/// The crowd whose costs are counted.
const COUNTED: usize = 32;
const BUCKET: &str = "clients";

/// Requests a second of each crowd.
type Rates = [f64; 3];

/// Measures; Garage too, where it is installed.
pub(crate) async fn measure(options: &Options, stage: &Stage, sheets: &mut [Sheet<'_>; 3]) -> Result<()> {
    let target = stage.bucket(BUCKET).await?;
    let [ours, garage @ ..] = sheets;
    let (puts, gets) = crowds(options, &target, Some((stage, &mut *ours)), "gateway").await?;
    state(ours, &puts, &gets);
    for (index, times) in TIMES.iter().enumerate() {
        if let Some(times) = times {
            let what = format!("{} clients: PUTs a second, times those of one", CROWDS[index]);
            ours.want(what, puts[index] / puts[0], Wanted::AtLeast(*times));
        }
    }
    let program = match garage::program(&options.peers()?) {
        Ok(program) => program,
        Err(absent) => {
            say(&format!("Garage is left out: {absent}"));
            return Ok(());
        }
    };
    for (sheet, durable) in garage.iter_mut().zip([true, false]) {
        let home = ostrakon_benches::scratch(options.dir.as_deref())?;
        let cluster = GarageCluster::start(program.clone(), home.path(), 1, durable, BUCKET)?;
        let name = if durable { "Garage with fsync" } else { "Garage without fsync" };
        let (their_puts, their_gets) = crowds(options, &of_garage(&cluster), None, name).await?;
        state(sheet, &their_puts, &their_gets);
        for (index, clients) in CROWDS.iter().enumerate() {
            let [put, get] = [puts[index] / their_puts[index], gets[index] / their_gets[index]];
            let text = |verb: &str| format!("{clients} clients: our {verb}, times these");
            let (put_text, get_text) = (text("PUTs"), text("GETs"));
            if durable && index + 1 == CROWDS.len() {
                sheet.want(put_text, put, Wanted::AtLeast(1.0));
                sheet.want(get_text, get, Wanted::AtLeast(2.0));
            } else {
                sheet.add(put_text, put);
                sheet.add(get_text, get);
            }
        }
    }
    Ok(())
}

/// The rates of all crowds: puts, then gets of what they put. Where there is a stage, what the counted crowd costs is
/// added to the sheet.
async fn crowds(
    options: &Options,
    target: &Target,
    mut counted: Option<(&Stage, &mut Sheet<'_>)>,
    name: &str,
) -> Result<(Rates, Rates)> {
    let (mut puts, mut gets) = ([0.0; 3], [0.0; 3]);
    for (index, clients) in CROWDS.into_iter().enumerate() {
        let (crowd, keys) = (Crowd { clients, time: Duration::from_secs(options.seconds()) }, format!("c{clients}"));
        let put = match counted.as_mut().filter(|_| clients == COUNTED) {
            Some((stage, sheet)) => put_and_count(stage, sheet, crowd, (target, &keys)).await?,
            None => crowd.put(target, &keys).await?,
        };
        let get = crowd.get(target, &keys, &put).await?;
        (puts[index], gets[index]) = (put.rate, get.rate);
        let said = |done: &Done| {
            let median = done.median().unwrap_or_default();
            format!("{:.1} a second, median {:.0} ms", done.rate, median * 1e3)
        };
        say(&format!("    {name}, {clients} clients: PUT {}; GET {}", said(&put), said(&get)));
    }
    Ok((puts, gets))
}

async fn put_and_count(
    stage: &Stage,
    sheet: &mut Sheet<'_>,
    crowd: Crowd,
    (target, keys): (&Target, &str),
) -> Result<Done> {
    let before = stage.ledger().await?;
    let put = crowd.put(target, keys).await?;
    let after = stage.ledger().await?;
    let transactions = stage.transactions(before, after).await?;
    let (each, bytes) = (transactions / put.all(), put.all() * float(u64::try_from(SIZE)?));
    let clients = crowd.clients;
    sheet.want(format!("{clients} clients: transactions for each PUT"), each, Wanted::AtMost(0.125));
    let stored = (after.stored - before.stored) / bytes;
    sheet.want(format!("{clients} clients: bytes stored for each byte"), stored, Wanted::AtMost(4.0));
    Ok(put)
}

fn state(sheet: &mut Sheet<'_>, puts: &Rates, gets: &Rates) {
    for (verb, rates) in [("PUT", puts), ("GET", gets)] {
        for (clients, rate) in CROWDS.iter().zip(rates) {
            sheet.add(format!("{clients} clients: {verb}s of 4 KiB a second"), *rate);
        }
    }
}

fn of_garage(cluster: &GarageCluster) -> Target {
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], cluster.s3));
    let (id, secret) = cluster.key.clone();
    let signer = Signer { id, secret, region: REGION.to_owned(), host: address.to_string() };
    Target { address, bucket: BUCKET.to_owned(), signer }
}
