//! Each story of a shard as rows: what the instances say, and what they are found to be.

use pgherd_config::InstanceRole::{self, Auto};

use super::*;

/// `P3` is out of recovery on timeline 3, `R3` in recovery; `-` has never answered. `!` behind it:
/// does not answer now. `@` and a number: of another origin. `#` and a number: which server it is.
fn subject(text: &str, configured: InstanceRole, was: Role) -> Subject {
    let reachable = !text.ends_with('!') && text != "-";
    let text = text.trim_end_matches('!');
    let (text, server) =
        text.split_once('#').map_or((text, None), |(it, no)| (it, no.parse().ok()));
    let (text, system) = text.split_once('@').unwrap_or((text, "1"));
    let vitals = (text != "-").then(|| Vitals {
        in_recovery: text.starts_with('R'),
        timeline: text.get(1..).and_then(|it| it.parse().ok()),
        lsn: Some(100),
        system: system.parse().ok(),
        started_at: server,
        ..Vitals::default()
    });
    Subject { configured, was, vitals, reachable }
}

/// Goes through the story, each step of which is `P1 R1 R1 => primary replica replica`. Who has been
/// asked is who says something else than in the step before.
#[track_caller]
fn check(configured: &[InstanceRole], story: &[&str]) {
    let mut memory = Memory::default();
    let mut roles = vec![Role::Unknown; configured.len()];
    let mut before: Vec<&str> = Vec::new();
    for step in story {
        let (said, expected) = step.split_once(" => ").expect("a step has two sides");
        let said: Vec<&str> = said.split_whitespace().collect();
        let subjects: Vec<Subject> = said
            .iter()
            .enumerate()
            .map(|(index, text)| subject(text, configured[index], roles[index]))
            .collect();
        for (asked, text) in said.iter().enumerate() {
            if before.get(asked) != Some(text)
                && subjects[asked].reachable
                && let Some(primary) = memory.primary
            {
                memory.names.note_answer(&subjects, primary, asked);
            }
        }
        before = said.clone();
        let found = decide(&subjects, &mut memory);
        roles = found.iter().map(|(role, _)| *role).collect();
        let shown: Vec<String> = found
            .iter()
            .map(|(role, doubt)| {
                let role = format!("{role:?}").to_lowercase();
                let doubt = doubt.map(|it| format!("{it:?}"));
                let doubt = doubt.map(|it| it.split(' ').next().unwrap_or_default().to_owned());
                doubt.map_or(role.clone(), |doubt| format!("{role}({doubt})"))
            })
            .collect();
        assert_eq!(shown.join(" "), expected, "in step {step:?}");
    }
}

#[test]
fn who_is_not_in_recovery_is_the_primary() {
    check(&[Auto; 3], &["- - - => unknown unknown unknown", "R1 P1 R1 => replica primary replica"]);
    check(&[Auto; 2], &["R1 - => replica unknown", "R1 R1 => replica replica"]);
}

#[test]
fn a_promotion_moves_the_role_and_the_old_primary_is_fenced() {
    check(
        &[Auto; 3],
        &[
            "P1 R1 R1 => primary replica replica",
            "P1! R1 R1 => primary replica replica",
            "P1! P2 R1 => fenced(Superseded) primary replica",
            "P1 P2 R2 => fenced(OlderTimeline) primary replica",
            "R2 P2 R2 => replica primary replica",
        ],
    );
}

#[test]
fn a_promotion_while_the_old_primary_lives_fences_it_at_once() {
    check(&[Auto; 2], &["P1 R1 => primary replica", "P1 P2 => fenced(OlderTimeline) primary"]);
}

#[test]
fn an_old_primary_that_is_alone_is_not_believed_when_a_replica_knows_better() {
    check(&[Auto; 2], &["P1 R2 => fenced(OlderTimeline) replica"]);
}

#[test]
fn a_higher_timeline_stays_known_when_its_owner_is_gone() {
    check(
        &[Auto; 2],
        &[
            "P1 R1 => primary replica",
            "P1! P2 => fenced(Superseded) primary",
            "P1 P2! => fenced(OlderTimeline) primary",
        ],
    );
}

#[test]
fn two_on_one_timeline_are_a_split_brain_and_the_served_one_stays() {
    check(
        &[Auto; 2],
        &[
            "R1 P1 => replica primary",
            "P1 P1 => fenced(SplitBrain) primary",
            // The other one was not promoted: its writes never reached the one that is lost.
            "P1 P1! => fenced(SplitBrain) primary",
            // It gives in.
            "P1 R1 => primary replica",
        ],
    );
}

#[test]
fn two_names_of_one_server_are_no_split_brain() {
    check(
        &[Auto; 3],
        &[
            "P1#5 P1#5 R1#7 => primary primary replica",
            // One of them leads nowhere for a while.
            "P1#5! P1#5 R1#7 => primary primary replica",
            "P1#5 P1#5 R1#7 => primary primary replica",
            // It restarts, which is seen by one name before the other.
            "P1#5! P1#5! R1#7 => primary primary replica",
            "P1#5! P1#6 R1#7 => primary primary replica",
            "P1#6 P1#6 R1#7 => primary primary replica",
            // It is gone, and another one takes over, to which one of the names leads from now on.
            "P1#6! P1#6! P2#7 => fenced(Superseded) fenced(Superseded) primary",
            "P2#7 P1#6! P2#7 => primary fenced(Superseded) primary",
            // The old one comes back.
            "P2#7 P1#8 P2#7 => primary fenced(OlderTimeline) primary",
        ],
    );
    // Of two that start with one name, the other one is the same from its first answer.
    check(&[Auto; 2], &["P1#5 - => primary unknown", "P1#5 P1#5 => primary primary"]);
    check(
        &[InstanceRole::Primary, Auto],
        &["P1#5 P1#5 => primary primary", "P1#5 P1#6 => primary primary"],
    );
}

#[test]
fn a_name_that_leads_to_another_server_is_a_split_brain_when_both_have_said_so() {
    check(
        &[Auto; 2],
        &[
            "P1#5 - => primary unknown",
            "P1#5 P1#5 => primary primary",
            "P1#5 P1#6 => primary primary",
            // The first name was asked again.
            "P1@1#5 P1#6 => primary fenced(SplitBrain)",
            "P1#5 R1#6 => primary replica",
        ],
    );
    check(&[Auto; 2], &["P1#5 P1#6 => fenced(SplitBrain) primary"]);
}

#[test]
fn of_two_at_the_start_the_higher_timeline_counts() {
    check(&[Auto; 2], &["P1 P2 => fenced(OlderTimeline) primary"]);
}

#[test]
fn a_server_made_anew_is_not_the_old_one() {
    check(
        &[Auto; 2],
        &[
            "P5 R5 => primary replica",
            "P1@2 R5 => fenced(OtherSystem) replica",
            "P5 R5 => primary replica",
            // All of it was made anew.
            "P1@2 R1@2 => primary replica",
        ],
    );
}

#[test]
fn a_timeline_that_cannot_be_read_does_not_stand_in_the_way() {
    check(&[Auto; 2], &["P R => primary replica", "P! P => fenced(Superseded) primary"]);
}

#[test]
fn what_the_settings_say_is_obeyed_but_looked_at() {
    let (primary, replica) = (InstanceRole::Primary, InstanceRole::Replica);
    check(
        &[primary, replica, Auto],
        &[
            "- - - => primary replica unknown",
            "P1 R1 R1 => primary replica replica",
            "R1 R1 R1 => replica(PrimaryInRecovery) replica replica",
            "P1! P2 R1 => primary replica(ReplicaNotInRecovery) replica",
            "P1 P1@9 P1 => primary replica fenced(SplitBrain)",
        ],
    );
}

#[test]
fn an_instance_alone_is_what_there_is() {
    check(&[Auto], &["- => primary", "P1 => primary", "R1 => replica", "P1@2 => primary"]);
    let primary = InstanceRole::Primary;
    check(&[primary], &["- => primary", "R1 => replica(PrimaryInRecovery)", "P2 => primary"]);
}
