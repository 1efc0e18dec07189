//! The bytes: every form, every bad form, and that nothing but the one form is taken.

use arc_malachitebft_core_types as core;
use core::{NilOrVal, Round, RoundCertificateType, VoteType};

use sha2::{Digest, Sha256};

use super::mesh::{key_of, set_of, sign, Rng, FEDERATION};
use crate::certificate::Certificate;
use crate::error::{Code, Result};
use crate::layout::{block_id, proposal_body, proposal_input, vote_body, vote_input};
use crate::types::{
    BlockId, BlockRef, Height, Key, Proposal, SignedProposal, SignedVote, ValidatorSet, Vote, MAX_BLOCK_BYTES,
    MAX_HEIGHT, MAX_ROUND, MAX_TOTAL_POWER, MAX_VALIDATORS,
};
use crate::wire::{encode_proposal, encode_vote, Entry, Evidence, Message, PolkaCertificate, RoundCertificate};

pub fn vote(member: usize, kind: VoteType, height: u64, round: u32, block: Option<BlockId>) -> SignedVote {
    let block = block.map_or(NilOrVal::Nil, NilOrVal::Val);
    let signature = sign(member, &vote_input(&FEDERATION, &vote_body(kind, height, round, &block)));
    SignedVote::new(Vote { kind, height, round, block, signer: key_of(member) }, signature)
}

/// A block with this header.
pub fn framed(header: &[u8]) -> Vec<u8> {
    [&(header.len() as u32).to_be_bytes(), header, b"rest"].concat()
}

/// The name of every block with this header.
pub fn named(header: &[u8]) -> BlockId {
    block_id(&framed(header)).expect("a block")
}

pub fn proposal(member: usize, height: u64, round: u32, pol_round: Option<u32>, header: &[u8]) -> SignedProposal {
    let proposal = Proposal { height, round, pol_round, block: BlockRef(named(header)), proposer: key_of(member) };
    let signature = sign(member, &proposal_input(&FEDERATION, &proposal_body(&proposal)));
    SignedProposal::new(proposal, signature)
}

pub fn certificate(members: &[usize], height: u64, round: u32, header: &[u8]) -> Certificate {
    let mut certificate = Certificate { height, round, block: named(header), signers: Vec::new() };
    let input = certificate.input(&FEDERATION);
    certificate.signers = members.iter().map(|member| (key_of(*member), sign(*member, &input))).collect();
    certificate.signers.sort_unstable();
    certificate
}

fn polka() -> PolkaCertificate {
    let id = named(b"block");
    let votes = (0..3).map(|member| vote(member, VoteType::Prevote, 7, 2, Some(id))).collect();
    PolkaCertificate::new(Height(7), Round::new(2), id, votes)
}

fn round_certificate(kind: RoundCertificateType) -> RoundCertificate {
    let votes = vec![
        vote(0, VoteType::Precommit, 7, 2, None),
        vote(1, VoteType::Precommit, 7, 2, Some(named(b"block"))),
        vote(2, VoteType::Precommit, 7, 2, None),
    ];
    RoundCertificate::new_from_votes(Height(7), Round::new(2), kind, votes)
}

fn messages() -> Vec<Message> {
    let id = named(b"block");
    vec![
        Message::Vote(vote(0, VoteType::Prevote, 1, 0, None)),
        Message::Vote(vote(1, VoteType::Precommit, MAX_HEIGHT, MAX_ROUND, Some(id))),
        Message::Proposal(proposal(0, 3, 0, None, b"block"), framed(b"block").into()),
        Message::Proposal(proposal(0, 3, 9, Some(8), b"block"), framed(b"block").into()),
        Message::Polka(polka()),
        Message::Round(round_certificate(RoundCertificateType::Skip)),
        Message::Round(round_certificate(RoundCertificateType::Precommit)),
    ]
}

fn entries() -> Vec<Entry> {
    let verdict = |valid, bytes: Option<&[u8]>| Entry::Verdict {
        height: 4,
        round: 3,
        pol_round: Some(1),
        proposer: key_of(2),
        block: named(b"block"),
        valid,
        bytes: bytes.map(Into::into),
    };
    vec![
        Entry::Vote(vote(0, VoteType::Prevote, 1, 0, None)),
        Entry::Proposal(proposal(0, 3, 0, None, b"block")),
        Entry::Polka(polka()),
        verdict(true, Some(&framed(b"block"))),
        verdict(false, None),
        Entry::Timeout { height: 9, kind: 3, round: 4 },
        Entry::Signs { height: 9, signs: false },
    ]
}

fn evidence() -> [Evidence; 2] {
    let id = named(b"block");
    [
        Evidence::of_votes(vote(1, VoteType::Prevote, 5, 0, Some(id)), vote(1, VoteType::Prevote, 5, 0, None)),
        Evidence::of_proposals(proposal(1, 5, 0, None, b"one"), proposal(1, 5, 0, None, b"other")),
    ]
}

/// Whatever is taken is encoded alike; nothing shorter or longer is taken; nothing makes it panic.
fn is_strict<T>(bytes: &[u8], decode: impl Fn(&[u8]) -> Result<T>, encode: impl Fn(&T) -> Vec<u8>) {
    assert_eq!(encode(&decode(bytes).expect("well formed")), bytes);
    for length in 0..bytes.len() {
        assert!(decode(&bytes[..length]).is_err(), "cut to {length} bytes");
    }
    assert_eq!(decode(&[bytes, &[0]].concat()).err().map(|error| error.code), Some(Code::Malformed));
    let mut rng = Rng(bytes.len() as u64);
    for _ in 0..4000 {
        let mut other = bytes.to_vec();
        for _ in 0..=rng.below(3) {
            let place = rng.below(other.len() as u64) as usize;
            match rng.below(4) {
                0 => other[place] = rng.next() as u8,
                1 => other[place] ^= 1 << rng.below(8),
                2 => drop(other.remove(place)),
                _ => other.insert(place, rng.next() as u8),
            }
        }
        if let Ok(taken) = decode(&other) {
            assert_eq!(encode(&taken), other);
        }
    }
    for _ in 0..500 {
        let noise: Vec<u8> = (0..rng.below(300)).map(|_| rng.next() as u8).collect();
        if let Ok(taken) = decode(&noise) {
            assert_eq!(encode(&taken), noise);
        }
    }
}

#[test]
fn a_block_is_named_by_its_header_alone() {
    let id = block_id(&framed(b"block")).expect("a block");
    assert_eq!(id.0, <[u8; 32]>::from(Sha256::digest(b"block")));
    assert_eq!(block_id(b"\0\0\0\x05blockand something else"), Ok(id));
    assert_eq!(block_id(b"\0\0\0\x05block"), Ok(id));
    assert_ne!(block_id(b"\0\0\0\x06block "), Ok(id));
    let code = |bytes: &[u8]| block_id(bytes).expect_err("refused").code;
    for bad in [b"".as_slice(), b"\0\0\0", b"\0\0\0\0block", b"\0\0\0\x06block", b"\xff\xff\xff\xffblock"] {
        assert_eq!(code(bad), Code::BadBlock, "{bad:?}");
    }
    let mut large = framed(b"block");
    large.resize(MAX_BLOCK_BYTES, 0);
    assert_eq!(block_id(&large), Ok(id));
    large.push(0);
    assert_eq!(code(&large), Code::TooLarge);
}

#[test]
fn every_message_has_one_form() {
    for message in messages() {
        is_strict(&message.encode(), Message::decode, Message::encode);
    }
}

#[test]
fn every_log_entry_has_one_form() {
    for entry in entries() {
        is_strict(&entry.encode(), Entry::decode, Entry::encode);
    }
}

#[test]
fn certificates_and_evidence_have_one_form() {
    let certificate = certificate(&[0, 1, 2], 5, 1, b"block");
    is_strict(&certificate.encode(), Certificate::decode, Certificate::encode);
    for evidence in evidence() {
        is_strict(&evidence.encode(), Evidence::decode, Evidence::encode);
    }
}

/// Written out, so that a change of the layout is seen.
#[test]
fn what_is_signed_is_laid_out_as_documented() {
    let id = [0xab; 32];
    let body = vote_body(VoteType::Precommit, 0x0102, 3, &NilOrVal::Val(BlockId(id)));
    let mut expected = b"meshwork/1\0vote\0".to_vec();
    expected.extend(FEDERATION);
    expected.extend([0, 2, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 3, 1]);
    expected.extend(id);
    assert_eq!(vote_input(&FEDERATION, &body), expected);
    assert_eq!(expected.len(), 99);

    let proposal =
        Proposal { height: 5, round: 4, pol_round: None, block: BlockRef(BlockId(id)), proposer: Key([0; 32]) };
    let mut expected = b"meshwork/1\0proposal\0".to_vec();
    expected.extend(FEDERATION);
    expected.extend([0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 4, 255, 255, 255, 255]);
    expected.extend(id);
    assert_eq!(proposal_input(&FEDERATION, &proposal_body(&proposal)), expected);

    let vote = vote(0, VoteType::Prevote, 1, 0, None);
    let mut expected = vec![1];
    expected.extend(key_of(0).0);
    expected.extend(vote.signature);
    expected.extend([1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0]);
    expected.extend([0; 32]);
    assert_eq!(encode_vote(&vote), expected);
}

fn code<T: std::fmt::Debug>(result: Result<T>) -> Code {
    result.expect_err("refused").code
}

fn with(bytes: &[u8], place: usize, patch: &[u8]) -> Vec<u8> {
    let mut other = bytes.to_vec();
    other[place..place + patch.len()].copy_from_slice(patch);
    other
}

#[test]
fn bad_messages_are_refused_by_name() {
    let vote = encode_vote(&vote(0, VoteType::Prevote, 1, 0, Some(BlockId([5; 32]))));
    let body = 97;
    for (bytes, expected) in [
        (vec![], Code::Malformed),
        (vec![0], Code::UnknownKind),
        (vec![9; 200], Code::UnknownKind),
        (with(&vote, body, &[3]), Code::UnknownKind),
        (with(&vote, body + 1, &[0; 8]), Code::OutOfRange),
        (with(&vote, body + 1, &[255; 8]), Code::OutOfRange),
        (with(&vote, body + 9, &[255; 4]), Code::OutOfRange),
        (with(&vote, body + 13, &[2]), Code::Malformed),
        (with(&vote, body + 13, &[0]), Code::Malformed),
        (vec![1; 6 << 20], Code::TooLarge),
    ] {
        assert_eq!(code(Message::decode(&bytes)), expected);
    }
    let proposal = encode_proposal(&proposal(0, 1, 3, Some(2), b"block"), b"block");
    for (bytes, expected) in [
        (with(&proposal, body + 12, &3u32.to_be_bytes()), Code::OutOfRange),
        (with(&proposal, body + 48, &0u32.to_be_bytes()), Code::BadBlock),
        (with(&proposal, body + 48, &(MAX_BLOCK_BYTES as u32 + 1).to_be_bytes()), Code::TooLarge),
        (with(&proposal, body + 48, &6u32.to_be_bytes()), Code::Malformed),
    ] {
        assert_eq!(code(Message::decode(&bytes)), expected);
    }
    let mut largest = framed(b"block");
    largest.resize(MAX_BLOCK_BYTES, 7);
    assert!(Message::decode(&encode_proposal(&self::proposal(0, 1, 0, None, b"block"), &largest)).is_ok());
    let polka = Message::Polka(polka()).encode();
    for (bytes, expected) in [
        (with(&polka, 45, &[0, 0]), Code::TooLittlePower),
        (with(&polka, 45, &[1, 1]), Code::TooLarge),
        (with(&polka, 45, &[0, 4]), Code::Malformed),
        (with(&polka, 47, &polka[47 + 96..47 + 192]), Code::DuplicateSigner),
        (with(&polka, 47, &[255; 32]), Code::UnsortedSigners),
    ] {
        assert_eq!(code(Message::decode(&bytes)), expected);
    }
    let round = Message::Round(round_certificate(RoundCertificateType::Precommit)).encode();
    assert_eq!(code(Message::decode(&with(&round, 13, &[3]))), Code::UnknownKind);
    assert_eq!(code(Message::decode(&with(&round, 16 + 96, &[1]))), Code::Malformed);
}

#[test]
fn bad_log_entries_are_refused_by_name() {
    let verdict = entries()[3].encode();
    let bytes = verdict.len() - 5;
    assert_eq!(code(Entry::decode(&with(&verdict, bytes, b"other"))), Code::BadBlock);
    assert_eq!(code(Entry::decode(&[7])), Code::UnknownKind);
    let timeout = entries()[5].encode();
    assert_eq!(code(Entry::decode(&with(&timeout, 9, &[4]))), Code::UnknownKind);
}

#[test]
fn a_certificate_proves_what_two_thirds_signed_and_nothing_else() {
    let set = set_of(&[(0, 1), (1, 1), (2, 1), (3, 1)]);
    let good = certificate(&[0, 1, 2], 5, 1, b"block");
    let check = |certificate: &Certificate| {
        Certificate::decode(&certificate.encode()).and_then(|decoded| decoded.verify(&FEDERATION, &set))
    };
    assert_eq!(check(&good), Ok(()));
    assert_eq!(check(&certificate(&[0, 1, 2, 3], 5, 1, b"block")), Ok(()));
    assert_eq!(check(&certificate(&[0, 1], 5, 1, b"block")).map_err(|error| error.code), Err(Code::TooLittlePower));
    assert_eq!(code(check(&certificate(&[0, 1, 2, 9], 5, 1, b"block"))), Code::UnknownValidator);

    let mut other = good.clone();
    other.signers.insert(1, other.signers[0]);
    assert_eq!(code(check(&other)), Code::DuplicateSigner);
    assert_eq!(code(other.verify(&FEDERATION, &set)), Code::DuplicateSigner);
    other = good.clone();
    other.signers.swap(0, 2);
    assert_eq!(code(check(&other)), Code::UnsortedSigners);
    assert_eq!(code(other.verify(&FEDERATION, &set)), Code::UnsortedSigners);
    other = good.clone();
    other.signers.clear();
    assert_eq!(code(check(&other)), Code::TooLittlePower);

    for change in [
        |one: &mut Certificate| one.height += 1,
        |one: &mut Certificate| one.round += 1,
        |one: &mut Certificate| one.block.0[3] ^= 1,
        |one: &mut Certificate| one.signers[2].1[40] ^= 1,
        |one: &mut Certificate| one.signers[0].1 = one.signers[1].1,
    ] {
        let mut other = good.clone();
        change(&mut other);
        assert_eq!(code(check(&other)), Code::BadSignature);
    }
    let mut elsewhere = FEDERATION;
    elsewhere[20] ^= 1;
    assert_eq!(code(good.verify(&elsewhere, &set)), Code::BadSignature);
    // A prevote is no precommit.
    let mut prevotes = good.clone();
    let body = vote_body(VoteType::Prevote, 5, 1, &NilOrVal::Val(good.block));
    let votes = (0..3).map(|member| (key_of(member), sign(member, &vote_input(&FEDERATION, &body))));
    prevotes.signers = votes.collect();
    prevotes.signers.sort_unstable();
    assert_eq!(code(check(&prevotes)), Code::BadSignature);
    // Power counts, not heads.
    let unequal = set_of(&[(0, 5), (1, 1), (2, 1), (3, 1)]);
    assert_eq!(code(certificate(&[1, 2, 3], 5, 1, b"block").verify(&FEDERATION, &unequal)), Code::TooLittlePower);
    assert_eq!(certificate(&[0, 1], 5, 1, b"block").verify(&FEDERATION, &unequal), Ok(()));
    // Exactly two thirds are too little.
    let three = set_of(&[(0, 1), (1, 1), (2, 1)]);
    assert_eq!(code(certificate(&[0, 1], 5, 1, b"block").verify(&FEDERATION, &three)), Code::TooLittlePower);
}

#[test]
fn evidence_is_two_signatures_that_exclude_each_other() {
    for evidence in evidence() {
        let bytes = evidence.encode();
        assert_eq!(Evidence::check(&FEDERATION, &bytes), Ok((key_of(1), 5)));
        let last = bytes.len() - 1;
        assert_eq!(code(Evidence::check(&FEDERATION, &with(&bytes, last, &[bytes[last] ^ 1]))), Code::BadSignature);
        assert_eq!(code(Evidence::check(&[0; 36], &bytes)), Code::BadSignature);
        // The same pair the other way round would be a second piece of evidence.
        let (head, pair) = bytes.split_at(33);
        let (one, other) = pair.split_at(pair.len() / 2);
        assert_eq!(code(Evidence::check(&FEDERATION, &[head, other, one].concat())), Code::NotEquivocation);
        assert_eq!(code(Evidence::check(&FEDERATION, &[head, one, one].concat())), Code::NotEquivocation);
    }
    let id = named(b"block");
    let base = vote(1, VoteType::Prevote, 5, 0, Some(id));
    for other in [
        vote(1, VoteType::Precommit, 5, 0, None),
        vote(1, VoteType::Prevote, 6, 0, None),
        vote(1, VoteType::Prevote, 5, 1, None),
    ] {
        let bytes = Evidence::of_votes(base.clone(), other).encode();
        assert_eq!(code(Evidence::check(&FEDERATION, &bytes)), Code::NotEquivocation);
    }
}

#[test]
fn validator_sets_are_bounded_and_in_order() {
    let (one, other) = (key_of(0).min(key_of(1)), key_of(0).max(key_of(1)));
    assert!(ValidatorSet::new(&[(one, 1), (other, MAX_TOTAL_POWER - 1)]).is_ok());
    let mut small = [0; 32];
    small[0] = 1;
    let point = |first: u8| [first; 32];
    let no_point = (0..=255).map(point).find(|bytes| ed25519_zebra::VerificationKey::try_from(*bytes).is_err());
    for members in [
        vec![],
        vec![(other, 1), (one, 1)],
        vec![(one, 1), (one, 1)],
        vec![(one, 0)],
        vec![(one, 1), (other, MAX_TOTAL_POWER)],
        vec![(one, u64::MAX)],
        vec![(Key([0; 32]), 1)],
        vec![(Key(small), 1)],
        vec![(Key(no_point.expect("half of all are none")), 1)],
    ] {
        assert_eq!(code(ValidatorSet::new(&members)), Code::BadValidators);
    }
    let mut many: Vec<_> = (0..=MAX_VALIDATORS).map(|member| (key_of(member), 1)).collect();
    many.sort_unstable();
    assert_eq!(code(ValidatorSet::new(&many)), Code::BadValidators);
    many.pop();
    let set = ValidatorSet::new(&many).expect("as many as may be");
    let turns: std::collections::BTreeSet<_> = (0..256).map(|round| set.proposer(9, round).key).collect();
    assert_eq!(turns.len(), MAX_VALIDATORS);
}
