//! How long a certificate is worth something: until the bonds behind its signatures are back, or as long as somebody
//! who is trusted says which block it rests on.

use std::{fs, path::Path};

use ostrakon::{Genesis, now_ms};
use ostrakon_tests::made_chain::{Length, certificate, make};

use super::{assert_clear, binaries, run};

const DAY_MS: u64 = 86_400_000;

/// Makes a chain of some days ago, and writes a certificate of its first commitment; out comes the block that it rests
/// on, as HEIGHT:BLOCK. The number of commitments makes it another chain of the same genesis and the same keys.
fn certify(dir: &Path, began_ms: u64, commitments: u32) -> String {
    let length = Length {
        blocks: 6,
        commitments,
        snapshot_blocks: 100,
        budget_bytes: 0,
        port: 1,
        began_ms: Some(began_ms),
        ..Length::default()
    };
    let genesis: Genesis = make(dir, &length).expect("made");
    let made = certificate(dir, &genesis, 0).expect("it is committed");
    fs::write(dir.join("proof.cert"), made.to_bytes()).expect("written");
    let basis = made.verify(&genesis).expect("signed by the validators of the genesis").basis;
    format!("{}:{}", basis.height, basis.block)
}

#[test]
fn a_certificate_is_believed_while_bonds_are_locked_and_then_by_a_checkpoint() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = |name: &str| dir.path().join(name);
    let (long_ago, lately) = (now_ms() - 30 * DAY_MS, now_ms() - DAY_MS);
    let honest = certify(&place("honest"), long_ago, 1);
    certify(&place("forged"), long_ago, 2);
    certify(&place("young"), lately, 1);
    let verify = |name: &str, checkpoint: Option<&str>| {
        let place = place(name);
        let (proof, genesis) = (place.join("proof.cert"), place.join("genesis.toml"));
        let checkpoint = checkpoint.map_or(String::new(), |text| format!("--checkpoint {text}"));
        let line = format!("certificate verify {} --genesis {} {checkpoint}", proof.display(), genesis.display());
        run(&binaries().client, &line)
    };
    assert_eq!(verify("young", None).code, Some(0));
    for name in ["honest", "forged"] {
        let beyond = verify(name, None);
        assert_eq!(beyond.code, Some(4), "{beyond}");
        assert_clear(&beyond, "without a checkpoint");
    }
    let believed = verify("honest", Some(&honest));
    assert_eq!(believed.code, Some(0), "{believed}");
    let refused = verify("forged", Some(&honest));
    assert_eq!(refused.code, Some(4), "{refused}");
    assert_clear(&refused, "not of the checkpoint's chain");
    let other = verify("honest", Some(&honest.replacen('6', "7", 1)));
    assert_eq!(other.code, Some(4), "{other}");
    assert_clear(&other, "get the id of block 6");
    assert_eq!(verify("honest", Some("6:ff")).code, Some(2));
}
