//! `ostrakon ledger accuse`: submits evidence against the validators who signed false headers in a proof file.

use std::path::Path;

use ostrakon::{Action, Client, Error, ErrorKind, Included, ledger::VoteKey, signed_headers};
use serde::Serialize;

use crate::{
    cmd::certificate::{not_valid, read_voucher},
    output::{Output, Paint, Table},
    progress::Progress,
};

/// A validator, and the transaction that punished it or why the ledger refused to.
#[derive(Debug, Serialize)]
struct Accused {
    validator: VoteKey,
    #[serde(flatten)]
    included: Option<Included>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
}

#[derive(Debug, Serialize)]
struct Accusations {
    accused: Vec<Accused>,
}

pub(super) async fn run(file: &Path, client: &Client, out: &Output) -> crate::Result<()> {
    let headers = signed_headers(&read_voucher(file)?).map_err(|error| not_valid(file, error))?;
    let evidence = client.chain().accuse(&headers).await?;
    if evidence.is_empty() {
        let words = format!(
            "{} contains no evidence: no header that a validator signed in it contradicts the network's chain, as far \
             as nodes still have its blocks",
            file.display()
        );
        return Err(Error::new(ErrorKind::NotFound, words));
    }
    let progress = Progress::waiting("submitting", out);
    let mut accused = Vec::new();
    for evidence in evidence {
        let validator = evidence.accused();
        let performed = client.perform(Action::Evidence(evidence)).on_event(progress.listener(out)).await;
        let refused = performed.as_ref().err().map(ToString::to_string);
        accused.push(Accused { validator, included: performed.ok(), refused });
    }
    drop(progress);
    let all = Accusations { accused };
    out.answer(&all, |paint| all.text(paint))?;
    match (all.accused.iter().filter(|one| one.refused.is_some()).count(), all.accused.len()) {
        (0, _) => Ok(()),
        (failed, of) => {
            let words = format!("the evidence against {failed} of {of} validators is not on the ledger");
            Err(Error::new(ErrorKind::Partial, words))
        }
    }
}

impl Accusations {
    fn text(&self, paint: Paint) -> String {
        let mut table = Table::new(0).head(["validator", "evidence"]);
        for Accused { validator, included, refused } in &self.accused {
            let included = included.map(|included| format!("in block {}", included.height));
            table.plain([validator.to_string(), included.or_else(|| refused.clone()).unwrap_or_default()]);
        }
        table.render(paint)
    }
}

#[cfg(test)]
mod tests {
    use ostrakon::{Height, TxId};

    use super::*;

    #[test]
    fn says_of_each_validator_whether_the_evidence_was_accepted() {
        let included = Included { tx: TxId::new([1; 32]), height: Height(7) };
        let accused = |byte, included: Option<Included>| {
            let refused = included.is_none().then(|| "it was slashed before".to_owned());
            Accused { validator: VoteKey::new([byte; 32]), included, refused }
        };
        let all = Accusations { accused: vec![accused(1, Some(included)), accused(2, None)] };
        let text = all.text(Paint::PLAIN);
        assert!(text.contains("in block 7") && text.contains("it was slashed before"), "{text}");
        let object = serde_json::to_value(&all).expect("serialises");
        let [first, second] = [0, 1].map(|at| object["accused"][at].clone());
        assert_eq!((first["height"].as_u64(), first.get("refused")), (Some(7), None));
        assert_eq!((second.get("height"), second["refused"].as_str()), (None, Some("it was slashed before")));
    }
}
