//! The seccomp policies of the services that this crate's tests start.

use sandbox::policy::load_str;

#[test]
fn the_policies_of_the_gate_dovecot_and_unbound_load() {
    for name in ["gate", "dovecot", "unbound"] {
        let file = format!(
            "{}/../apps/email/policies/{name}.seccomp",
            env!("CARGO_MANIFEST_DIR")
        );
        let text = std::fs::read_to_string(&file).unwrap();
        load_str(&file, &text).unwrap();
    }
}
