//! Which boot test comes when: the longest first, so that no worker has a long
//! one left when the others have nothing more to do.

use super::Scenario;
use crate::schedule::Plan;
use std::cmp::Reverse;

/// About how long each runs, in seconds, as CI measured it beside another. What is not named here is [`USUAL`]; a wrong number costs time
/// and nothing else.
const LENGTHS: &[(&str, u32)] = &[
    ("mail_cuts", 400),
    ("factory_reset", 270),
    ("usb_key", 265),
    ("disk_failing", 265),
    ("wifi_joins", 235),
    ("mail_backlogs", 180),
    ("mail_power_cut", 160),
    ("mail_learns", 150),
    ("mail_abroad", 150),
    ("pid1_transcript", 120),
    ("header_restored", 90),
    ("phone_page", 90),
    ("page_without_scripts", 90),
    ("power_cuts", 90),
    ("mail_rules", 80),
    ("slots_fall_back", 55),
    ("plain_card", 55),
    ("mail_lands", 25),
    ("mail_locked", 25),
    ("mail_authenticated", 20),
    ("mail_replies", 15),
    ("mail_unseen", 10),
    ("mail_explained", 10),
    ("mail_world", 5),
];
const USUAL: u32 = 60;

/// Those that have the machine for themselves, and why.
const ALONE: &[(&str, &str)] = &[(
    "rpi3_reaches_the_page",
    "its network adapter is plugged in anew between PID 1's first words and Linux's \
     USB driver, which a host with more to do may miss (usb_cable.rs)",
)];

/// These go on from one kept box, which the first of them sets up.
const MAIL: &str = "mail_";

/// Why a boot test has the machine for itself, if it has.
fn alone(name: &str) -> Option<&'static str> {
    let mut known = ALONE.iter().filter(|(known, _)| *known == name);
    known.next().map(|(_, why)| *why)
}

fn seconds(name: &str) -> u32 {
    let mut known = LENGTHS.iter().filter(|(known, _)| *known == name);
    known.next().map_or(USUAL, |(_, seconds)| *seconds)
}

/// The order of these boot tests. One of mail begins, the others of mail come at
/// the end: while it sets the kept box up they would only wait for it.
pub fn plan<'a>(chosen: &[&'a Scenario]) -> Plan<&'a Scenario> {
    let mut sorted = chosen.to_vec();
    sorted.sort_by_key(|test| Reverse(seconds(test.name)));
    let (alone, shared): (Vec<_>, Vec<_>) = sorted
        .into_iter()
        .partition(|test| alone(test.name).is_some());
    let (mut mail, mut others): (Vec<_>, Vec<_>) = shared
        .into_iter()
        .partition(|test| test.name.starts_with(MAIL));
    let first = mail.iter().position(|test| test.name != "mail_world");
    let mut shared: Vec<_> = first.map(|first| mail.remove(first)).into_iter().collect();
    shared.append(&mut others);
    shared.append(&mut mail);
    Plan { shared, alone }
}

#[cfg(test)]
mod tests {
    use super::super::ALL;
    use super::*;

    fn all() -> Plan<&'static Scenario> {
        plan(&ALL.iter().collect::<Vec<_>>())
    }

    #[test]
    fn no_boot_test_is_left_out_and_those_alone_are_apart() {
        let Plan { shared, alone } = all();
        let name = |test: &&Scenario| test.name;
        let alone: Vec<_> = alone.iter().map(name).collect();
        assert_eq!(alone, ["rpi3_reaches_the_page"]);
        let mut names: Vec<_> = shared.iter().map(name).chain(alone).collect();
        let mut expected: Vec<_> = ALL.iter().map(|test| test.name).collect();
        names.sort_unstable();
        expected.sort_unstable();
        assert_eq!(names, expected);
    }

    #[test]
    fn every_name_in_the_lists_is_that_of_a_boot_test() {
        let lengths = LENGTHS.iter().map(|(name, _)| name);
        for name in lengths.chain(ALONE.iter().map(|(name, _)| name)) {
            assert!(ALL.iter().any(|test| test.name == *name), "{name}");
        }
    }

    #[test]
    fn one_test_of_mail_begins_and_the_others_end_each_part_longest_first() {
        let names: Vec<_> = all().shared.iter().map(|test| test.name).collect();
        let (first, rest) = names.split_first().unwrap();
        assert!(first.starts_with(MAIL) && *first != "mail_world", "{first}");
        let others = rest.iter().take_while(|name| !name.starts_with(MAIL));
        let (others, mail) = rest.split_at(others.count());
        assert!(mail.iter().all(|name| name.starts_with(MAIL)), "{mail:?}");
        for part in [others, mail] {
            assert!(part.len() > 1, "{part:?}");
            assert!(
                part.is_sorted_by_key(|name| Reverse(seconds(name))),
                "{part:?}"
            );
        }
    }
}
