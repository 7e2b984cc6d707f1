//! Receipts of erasures: what a person can be handed, and what can be checked without this program.
//!
//! A receipt is a JSON object. Signed is its text without the member `signature`, keys sorted, without white space, after the
//! domain `sekisho-erasure-receipt-1` and a zero byte (Ed25519, RFC 8032; the public key is in the receipt).

use crate::erase::Erasure;
use crate::sign::{SigningKey, verified};
use sekisho_logic::time::WallMs;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What a signature of a receipt is for.
const DOMAIN: &str = "sekisho-erasure-receipt-1";

/// Whether a receipt is what was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiptVerdict {
    /// Its signature holds for the key it names.
    Valid,
    /// It was made by a program without a signing key.
    Unsigned,
    /// It is no receipt, or was changed.
    Invalid,
}

/// Checks a receipt against the public key it names; whether that key is the site's own is for the reader to compare.
#[must_use]
pub fn receipt_verdict(receipt: &str) -> ReceiptVerdict {
    match serde_json::from_str(receipt) {
        Ok(receipt) => verdict(&receipt, DOMAIN),
        Err(_) => ReceiptVerdict::Invalid,
    }
}

/// The receipt of an erasure that is done now, `head` being the audit trail's.
pub(crate) fn made(erasure: &Erasure, now: WallMs, head: (i64, [u8; 32]), signing: Option<&SigningKey>) -> String {
    let counts = serde_json::to_value(erasure.counts).unwrap_or_default();
    let receipt = json!({
        "format": DOMAIN,
        "erasure": erasure.id,
        "person": erasure.person,
        "cause": erasure.cause.as_str(),
        "asked": erasure.asked.to_rfc3339(),
        "asked-by": erasure.asked_by,
        "finished": now.to_rfc3339(),
        "erased": counts,
        "key": "destroyed",
        "audit": { "seq": head.0, "head": hex::encode(head.1) },
    });
    signed(receipt, DOMAIN, signing)
}

/// The object as text, with the key and its signature where there is a key.
pub(crate) fn signed(mut object: Value, domain: &str, signing: Option<&SigningKey>) -> String {
    if let (Some(members), Some(key)) = (object.as_object_mut(), signing) {
        members.insert("key-id".into(), key.id().into());
        members.insert("public-key".into(), key.public().into());
    }
    if let Some(key) = signing {
        let signature = hex::encode(key.sign(domain, canonical(&object).as_bytes()));
        if let Some(members) = object.as_object_mut() {
            members.insert("signature".into(), signature.into());
        }
    }
    canonical(&object)
}

pub(crate) fn verdict(object: &Value, domain: &str) -> ReceiptVerdict {
    let mut object = object.clone();
    let Some(members) = object.as_object_mut() else { return ReceiptVerdict::Invalid };
    let (signature, key) = (members.remove("signature"), members.get("public-key").cloned());
    let (Some(Value::String(signature)), Some(Value::String(key))) = (&signature, &key) else {
        let none = signature.is_none() && key.is_none();
        return if none { ReceiptVerdict::Unsigned } else { ReceiptVerdict::Invalid };
    };
    let holds =
        hex::decode(signature).is_ok_and(|signature| verified(key, domain, canonical(&object).as_bytes(), &signature));
    if holds { ReceiptVerdict::Valid } else { ReceiptVerdict::Invalid }
}

/// JSON with sorted keys and no white space.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let sorted: BTreeMap<_, _> = members.iter().collect();
            let members: Vec<String> = sorted
                .iter()
                .map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), canonical(value)))
                .collect();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}
