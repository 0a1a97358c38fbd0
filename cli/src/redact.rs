//! Keeps the keys of links out of sight: out of the process list, and out of messages about a wrong command line.
//!
//! Other users of the machine can read a command line, but not the environment of a process that is not theirs. What is
//! typed may be a link that is damaged, so that what looks like a part of a key is hidden as well.

use std::{
    env,
    ffi::OsString,
    ops::RangeInclusive,
    os::unix::{ffi::OsStrExt, process::CommandExt},
    process::Command,
};

use crate::target::{self, FROM, Target};

/// The program that runs, also when its file was replaced meanwhile.
const THIS_PROGRAM: &str = "/proc/self/exe";
/// What stands in a message for what is hidden.
const HIDDEN: &str = "...";
/// Characters of a key of which this many are no accident.
const SUSPICIOUS: usize = 8;
/// Characters of a key, give or take what a slip of the mouse adds or loses. A CID has more.
const KEY: RangeInclusive<usize> = 50..=54;

/// Runs this command again with its links in the environment, where keys are on the command line; else does nothing.
pub(crate) fn hide_links() {
    let mut args: Vec<OsString> = env::args_os().collect();
    let has_key = |arg: &&mut OsString| Target::parse(arg.as_bytes()).is_ok_and(|target| target.has_key());
    let (mut command, mut hidden) = (Command::new(THIS_PROGRAM), 0);
    for arg in args.iter_mut().skip(1).filter(has_key) {
        let variable = target::variable(hidden);
        let from = format!("{FROM}{variable}").into();
        command.env(variable, std::mem::replace(arg, from));
        hidden += 1;
    }
    if hidden > 0 {
        // Returns only where the system does not allow it; then the command runs as it was typed.
        let _ = command.arg0(&args[0]).args(&args[1..]).exec();
    }
}

/// `text` without what in these arguments may be a secret.
pub(crate) fn redact(text: &str, args: impl IntoIterator<Item = OsString>) -> String {
    let (mut text, mut follows) = (text.to_owned(), false);
    for arg in args {
        let shown = arg.to_string_lossy();
        let secret = match secret_of(&shown) {
            Some(secret) => {
                follows = true;
                secret
            }
            // A link that was wrapped or cut into words.
            None if follows && shown.len() >= SUSPICIOUS && is_base32(&shown) => &shown,
            None => continue,
        };
        text = text.replace(secret, HIDDEN);
    }
    text
}

/// The part of an argument that may be a secret.
fn secret_of(arg: &str) -> Option<&str> {
    let lower = arg.to_ascii_lowercase();
    let behind =
        |mark: &str| lower.find(mark).map(|at| &arg[at + mark.len()..]).filter(|rest| rest.len() >= SUSPICIOUS);
    let whole = KEY.contains(&arg.len()) && is_base32(arg) || lower.contains("ostsecret1");
    behind("#").or_else(|| behind("%23")).or(whole.then_some(arg))
}

fn is_base32(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphabetic() || (b'2'..=b'7').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_key_is_hidden_and_the_rest_stays() {
        let key = "aebagbafaydqqcikbmga2dqpcaireeyuculbogazdinryhi6d4aa";
        let check = |args: &[&str], text: &str, expected: &str| {
            assert_eq!(redact(text, args.iter().map(OsString::from)), expected);
        };
        let cid = "bafyr4iboof4n2vuau3xv6vvofrdfaw2h2yeb3l7i26r3wvgj6tm4fyz4su";
        for mark in ["#", "%23"] {
            let link = format!("ostrakon:{cid}{mark}{key}");
            check(
                &["ls", "x", &link],
                &format!("unexpected '{link}'"),
                &format!("unexpected 'ostrakon:{cid}{mark}...'"),
            );
        }
        check(&["get", key], &format!("unexpected '{key}'"), "unexpected '...'");
        check(&["x", "ostsecret1qq"], "unexpected 'ostsecret1qq'", "unexpected '...'");
        let words = ["get", &format!("{cid}#{}", &key[..20]), &key[20..]];
        check(&words, &format!("unexpected '{}'", &key[20..]), "unexpected '...'");
        check(&["get", cid, "--frob"], &format!("'{cid}' '--frob'"), &format!("'{cid}' '--frob'"));
        check(&["add", "song #1.ogg"], "no 'song #1.ogg'", "no 'song #1.ogg'");
    }
}
