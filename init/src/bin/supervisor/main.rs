//! The supervisor: everything on the box above PID 1.
//!
//! It sets the clock's floor, loads the network's modules, starts the host's
//! daemons, puts the console into its sandbox, answers what the console may ask
//! ([`control::Request`]), and runs the app once the disk is open. It tells PID 1 every 2 seconds that it is
//! healthy; when it dies, PID 1 starts it again, and an open disk stays open.
//!
//! One thread runs [`main`]'s loop; one looks for a USB stick with the disk's key, if
//! the owner turned that on and the disk is locked; one thread a running console answers its
//! requests and one those of `projectx`, so that making the encrypted disk (half a minute on a Pi) does
//! not stop the heartbeat; one looks after the card.

mod address;
mod apps;
mod attempts;
mod card_writer;
mod clock;
mod console_service;
mod control_server;
mod daemon;
mod damage;
mod disk;
mod dns_records;
mod ear;
mod hardening;
mod hostname;
mod journal;
mod log;
mod network;
mod other_addresses;
mod people;
mod pid1;
mod sandbox_server;
mod scratch;
mod screen;
mod seen;
mod slots;
mod sys;
mod updates;
mod upkeep;
mod usb_stick;
mod way_in;
mod way_out;
mod wifi;

use std::sync::Arc;
use std::time::Duration;

/// How long the last writes may take at the end: PID 1 waits 20 seconds in all.
const LAST_WRITES: Duration = Duration::from_secs(5);
/// How often the loop looks at its children and tells PID 1 that it lives.
const TICK: Duration = Duration::from_millis(250);

fn main() {
    let mut pid1 = match pid1::Link::inherited() {
        Ok(link) => link,
        Err(error) => {
            log::line(&format!("no link to PID 1: {error}"));
            std::process::exit(1);
        }
    };
    scratch::prepare();
    clock::raise_to_floor();
    hardening::apply();
    network::load_modules();
    network::loopback_up();
    hostname::set();

    let card = wifi::read_card();
    let office = Arc::new(control_server::Office::new(&card));
    let mut daemons = network::daemons();
    office.look_for_sticks();
    let mut wifi = wifi::Radio::new(card);
    let mut console = console_service::Console::new(Arc::clone(&office));
    let mut apps = apps::Apps::new();
    let mut screen = screen::Screen::new();
    let sandboxes = sandbox_server::begin();
    let upkeep = upkeep::begin(Arc::clone(&office));
    let mut slots = slots::Trial::from_kernel_command_line();

    loop {
        for daemon in &mut daemons {
            daemon.keep_running();
            for line in daemon.heard() {
                hostname::heard(&line);
            }
        }
        wifi.keep_running(office.disk());
        console.keep_running();
        screen.keep();
        apps.keep_running(office.disk());
        office.people().opened(apps.mail_place());
        if office.people().take_postfix_restart() {
            apps.restart_postfix();
        }
        sandboxes.running(apps.sandboxes(), apps.mail_place());
        if console.answers() {
            slots.confirm();
        } else if slots.has_failed() {
            pid1.ask(pid1::Power::Restart);
        }
        pid1.heartbeat();
        if let Some(request) = office.take_power_request() {
            pid1.ask(request);
        }
        if pid1.told_to_stop(TICK) {
            break;
        }
    }

    // The reverse order of the start. Whoever writes to /data stops first.
    console.stop();
    screen.stop();
    apps.stop();
    wifi.stop();
    for daemon in daemons.iter_mut().rev() {
        daemon.stop();
    }
    upkeep.stop(LAST_WRITES);
    office.disk().close();
    log::line("stopped");
}
