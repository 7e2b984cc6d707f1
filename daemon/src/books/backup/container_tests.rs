use super::*;

fn lock(byte: u8) -> Lock {
    Lock::KeyFile(DbKey::from_bytes([byte; 32]))
}

fn sealed(lock: &Lock, files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut sealer = Sealer::begin(Vec::new(), lock, json!({ "version": "test" })).expect("begun");
    for (name, bytes) in files {
        sealer.add(name, bytes.len() as u64, bytes.as_slice()).expect("added");
    }
    sealer.end().expect("ended")
}

fn opened(lock: &Lock, bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, String> {
    let (mut opener, _) = Opener::begin(bytes, lock).map_err(|error| error.to_string())?;
    let mut files = Vec::new();
    while let Some((name, length)) = opener.entry().map_err(|error| error.to_string())? {
        let mut content = Vec::new();
        opener.by_ref().take(length).read_to_end(&mut content).map_err(|error| error.to_string())?;
        if content.len() as u64 != length {
            return Err("cut off".into());
        }
        files.push((name, content));
    }
    Ok(files)
}

#[test]
fn what_was_sealed_opens_with_its_lock_alone() {
    let large: Vec<u8> = (0..2 * CHUNK_BYTES + 17).map(|n| u8::try_from(n % 251).expect("small")).collect();
    let files = [("a", large), ("empty", Vec::new()), ("b", b"canary-content".to_vec())];
    let wanted: Vec<_> = files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.clone())).collect();
    let bytes = sealed(&lock(1), &files);
    assert_eq!(opened(&lock(1), &bytes), Ok(wanted));
    assert!(!bytes.windows(14).any(|window| window == b"canary-content"));
    let error = opened(&lock(2), &bytes).expect_err("another key");
    assert!(error.contains("another one"), "{error}");
    let error = opened(&Lock::Database(DbKey::from_bytes([1; 32])), &bytes).expect_err("another lock");
    assert!(error.contains("locked with a key-file"), "{error}");
    assert_ne!(bytes, sealed(&lock(1), &files), "each under a key of its own");
}

#[test]
fn a_passphrase_opens_its_own_backup() {
    let words = |text: &str| Lock::Passphrase(Zeroizing::new(text.to_owned()));
    let bytes = sealed(&words("correct horse battery"), &[("a", b"x".to_vec())]);
    assert_eq!(opened(&words("correct horse battery"), &bytes).expect("opened").len(), 1);
    assert!(opened(&words("incorrect horse battery"), &bytes).expect_err("refused").contains("passphrase"));
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).replace("65536", "9999999");
    assert!(opened(&words("correct horse battery"), text.as_bytes()).expect_err("refused").contains("damaged"));
}

#[test]
fn nothing_hostile_opens() {
    let bytes = sealed(&lock(1), &[("a", vec![7; 3000]), ("b", vec![8; CHUNK_BYTES])]);
    for cut in (0..bytes.len()).step_by(997).chain(bytes.len() - 40..bytes.len()) {
        assert!(opened(&lock(1), &bytes[..cut]).is_err(), "cut at {cut}");
    }
    for at in (0..bytes.len()).step_by(1009).chain(0..200) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        assert!(opened(&lock(1), &flipped).is_err(), "flipped at {at}");
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(opened(&lock(1), &longer).is_err(), "something behind the end");
    for other in [&b""[..], b"PK\x03\x04", b"sekisho backup 1\n", b"sekisho backup 1\n{}\n", b"sekisho backup 2\n{}\n"]
    {
        assert!(opened(&lock(1), other).is_err());
    }
    // The last chunk left out: the one before is not marked as last.
    let two = sealed(&lock(1), &[("a", vec![7; CHUNK_BYTES])]);
    let second = two.len() - (4 + 29 + 11);
    assert!(opened(&lock(1), &two[..second]).expect_err("cut").contains("damaged or cut off") || second > 0);
}
