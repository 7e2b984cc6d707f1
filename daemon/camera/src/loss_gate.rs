//! No frame between a lost packet and the next whole key frame goes any further. Pure.
//!
//! With 2 % of packets lost, one in ten frames a decoder delivers is visibly damaged and not one of them is marked.
//! A face matched in such a frame is a guess. The depayloader is asked to wait for key frames itself; this gate is the
//! second barrier, sees what the depayloader cannot (a key frame whose own first packets were lost), and counts.
//!
//! ```text
//! Starting --key--> Open --loss--> Closed(suspects) --key that is no suspect--> Open
//! ```
//! Suspects are the access units that the packets around the loss belong to: they may be incomplete even when they
//! start like a key frame.

/// One RTP packet, as it enters the depayloader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// RTP sequence number.
    pub sequence: u16,
    /// RTP timestamp: the same for all packets of one access unit.
    pub timestamp: u32,
    /// Presentation time in nanoseconds, the same for all packets of one access unit and for the unit itself.
    pub pts_ns: Option<u64>,
    /// The jitter buffer says that something is missing before this packet.
    pub discontinuous: bool,
}

/// What becomes of an access unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// It goes to the decoder.
    Pass,
    /// It is dropped.
    Drop,
}

/// What one packet added to the counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Added {
    /// Packets missing before it.
    pub packets_lost: u64,
    /// Frames that are now known not to have passed because of a loss.
    pub frames_gated: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Open,
    /// Only a key frame that is no suspect opens it. What is dropped before the first key frame of a connection is not
    /// counted unless something was lost as well.
    Shut {
        suspects: [Option<u64>; 2],
        by_loss: bool,
    },
}

/// A larger step in sequence numbers is a camera that started counting anew, not a loss; its size means nothing.
const SEQUENCE_STEP_MAX: u16 = 3000;

/// The gate of one connection.
#[derive(Debug)]
pub struct LossGate {
    door: Door,
    last: Option<Packet>,
    /// A loss was announced; the packet after it is still to come.
    loss_announced: bool,
    current_passed: bool,
}

impl Default for LossGate {
    fn default() -> Self {
        let door = Door::Shut { suspects: [None; 2], by_loss: false };
        Self { door, last: None, loss_announced: false, current_passed: false }
    }
}

impl LossGate {
    /// The jitter buffer gave a packet up. The packet after it says which units are affected.
    pub fn on_loss_announced(&mut self) {
        self.loss_announced = true;
    }

    /// A packet enters the depayloader.
    pub fn on_packet(&mut self, packet: Packet) -> Added {
        let mut added = Added::default();
        let Some(last) = self.last.replace(packet) else {
            self.loss_announced = false;
            return added;
        };
        let step = packet.sequence.wrapping_sub(last.sequence);
        let lost = self.loss_announced || packet.discontinuous || step != 1;
        self.loss_announced = false;
        if lost {
            if (2..=SEQUENCE_STEP_MAX).contains(&step) {
                added.packets_lost = u64::from(step - 1);
            }
            let before = if self.current_passed { None } else { last.pts_ns };
            let by_loss = !matches!(self.door, Door::Shut { by_loss: false, .. });
            self.door = Door::Shut { suspects: [before, packet.pts_ns], by_loss };
        }
        if packet.timestamp != last.timestamp {
            if !self.current_passed && self.is_closed() {
                added.frames_gated = 1;
            }
            self.current_passed = false;
        }
        added
    }

    /// An access unit leaves the depayloader.
    pub fn on_unit(&mut self, pts_ns: Option<u64>, is_key: bool) -> Passage {
        let opens = match self.door {
            Door::Open => true,
            // A unit without a time cannot be told from the suspects; the depayloader's own waiting has to do then.
            Door::Shut { suspects, .. } => is_key && (pts_ns.is_none() || !suspects.contains(&pts_ns)),
        };
        if !opens {
            return Passage::Drop;
        }
        self.door = Door::Open;
        if self.last.is_some_and(|packet| packet.pts_ns == pts_ns) {
            self.current_passed = true;
        }
        Passage::Pass
    }

    /// Whether a loss keeps it closed.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.door, Door::Shut { by_loss: true, .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(sequence: u16, frame: u32) -> Packet {
        Packet { sequence, timestamp: frame * 3600, pts_ns: Some(u64::from(frame) * 40), discontinuous: false }
    }

    #[test]
    fn a_loss_closes_it_until_a_later_key_frame() {
        let mut gate = LossGate::default();
        gate.on_packet(packet(1, 0));
        assert_eq!(gate.on_unit(Some(0), true), Passage::Pass);
        gate.on_packet(packet(2, 1));
        assert_eq!(gate.on_unit(Some(40), false), Passage::Pass);
        let added = gate.on_packet(packet(5, 3));
        assert_eq!(added, Added { packets_lost: 2, frames_gated: 0 });
        assert_eq!(gate.on_unit(Some(120), true), Passage::Drop, "its own first packets may be missing");
        assert_eq!(gate.on_packet(packet(6, 4)).frames_gated, 1);
        assert_eq!(gate.on_unit(Some(160), false), Passage::Drop);
        gate.on_packet(packet(7, 5));
        assert_eq!(gate.on_unit(Some(200), true), Passage::Pass);
        assert!(!gate.is_closed());
    }

    #[test]
    fn frames_before_the_first_key_frame_are_not_counted_as_lost() {
        let mut gate = LossGate::default();
        let gated: u64 = (0_u16..5).map(|n| gate.on_packet(packet(n, u32::from(n))).frames_gated).sum();
        assert_eq!((gated, gate.on_unit(Some(40), false)), (0, Passage::Drop));
    }

    #[test]
    fn an_announced_loss_without_a_gap_in_numbers_closes_it_too() {
        let mut gate = LossGate::default();
        gate.on_packet(packet(1, 0));
        gate.on_unit(Some(0), true);
        gate.on_loss_announced();
        gate.on_packet(packet(2, 1));
        assert!(gate.is_closed());
    }

    #[test]
    fn sequence_numbers_wrap() {
        let mut gate = LossGate::default();
        gate.on_packet(packet(u16::MAX, 0));
        gate.on_unit(Some(0), true);
        assert_eq!(gate.on_packet(packet(0, 1)), Added::default());
        assert!(!gate.is_closed());
    }

    /// A stream of `(packets, is_key)` units under `lost` packets, through a depayloader that hands out every unit of
    /// which a single packet arrived: at its last packet (`eager`) or else at the first packet of another unit.
    /// Gives the units that passed.
    fn run(units: &[(u16, bool)], lost: &[bool], eager: bool) -> Vec<usize> {
        let (mut gate, mut passed, mut pending) = (LossGate::default(), Vec::new(), None::<usize>);
        let mut sequence = 0_u16;
        for (unit, (packets, _)) in units.iter().enumerate() {
            for at in 0..*packets {
                let is_lost = lost[usize::from(sequence)];
                sequence += 1;
                if is_lost {
                    continue;
                }
                gate.on_packet(packet(sequence, u32::try_from(unit).expect("few units")));
                let hand_out = |gate: &mut LossGate, unit: usize| {
                    (gate.on_unit(Some(unit as u64 * 40), units[unit].1) == Passage::Pass).then_some(unit)
                };
                if let Some(before) = pending.filter(|before| *before != unit) {
                    passed.extend(hand_out(&mut gate, before));
                }
                pending = Some(unit);
                if eager && at + 1 == *packets {
                    passed.extend(hand_out(&mut gate, unit));
                    pending = None;
                }
            }
        }
        passed
    }

    proptest! {
        #[test]
        fn nothing_damaged_passes(
            units in proptest::collection::vec((1_u16..5, prop::bool::weighted(0.2)), 1..80),
            lost in proptest::collection::vec(prop::bool::weighted(0.1), 400),
            eager in any::<bool>(),
        ) {
            let (mut units, mut lost) = (units, lost);
            // Joining a stream in the middle of a unit cannot be told from joining at its start.
            (units[0].1, lost[0]) = (true, false);
            let (mut sequence, mut whole_so_far, mut decodable) = (0_usize, false, Vec::new());
            for (packets, is_key) in &units {
                let whole = (0..usize::from(*packets)).all(|at| !lost[sequence + at]);
                sequence += usize::from(*packets);
                whole_so_far = whole && (*is_key || whole_so_far);
                decodable.push(whole_so_far);
            }
            for unit in run(&units, &lost, eager) {
                prop_assert!(decodable[unit], "unit {unit} passed damaged");
            }
        }

        #[test]
        fn without_loss_everything_passes(units in proptest::collection::vec((1_u16..5, any::<bool>()), 1..80)) {
            let mut units = units;
            units[0].1 = true;
            prop_assert_eq!(run(&units, &[false; 400], true).len(), units.len());
        }
    }
}
