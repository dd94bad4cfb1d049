//! The builder: everything that is done to this repository starts here.
//! `main` only dispatches; one module holds one command or one concept.

mod access_point;
mod agent;
mod bench;
mod boot;
mod browser;
mod campaign;
mod capture;
mod card_check;
mod card_image;
mod exploits;
mod foreign;
mod guest;
mod image;
mod lint;
mod pictures;
mod qemu;
mod scenarios;
mod schedule;
mod screen;
mod snapshot;
mod test;
mod tidy;
mod tls_check;
mod tool;
mod usb_cable;
mod wifi_check;
mod workspace;
mod write_log;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Builds, starts and tests the card.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build the files that users flash: a ZIP and an .img.zip
    Image(image::ImageArguments),
    /// Sign an update of SpamAssassin's rules, for boxes that have the key's other half
    Rules(image::rules::RulesArguments),
    /// Say whether a ZIP makes a card that starts: unpacked as Raspberry Pi Imager does
    CardCheck(card_check::CheckArguments),
    /// Boot a card in QEMU and say how to reach the box
    Boot(boot::BootArguments),
    /// Run the tests: the fast ones, then boots of the real card
    Test(test::TestArguments),
    /// Say what the box would make of a wifi.txt, and fail if it would join no network
    WifiCheck(wifi_check::WifiCheckArguments),
    /// Take the pictures of the page anew, in docs/images: boots a card in QEMU
    Pictures,
    /// Say what each service may do, and fail if one may do more than is agreed
    Lint(lint::LintArguments),
    /// Lay an app out for the machine here, in target/native/APP
    Native {
        /// The app: a folder in apps/
        #[arg(default_value = "email")]
        app: String,
    },
    /// Measure
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Do something ten thousand times and look what is left
    #[command(subcommand)]
    Campaign(campaign::Campaign),
    /// Exchange mail with Postfix, Exim and OpenSMTPD on an internet made for it, natively
    Foreign,
    /// Judge the box's ports and names as testssl.sh and internet.nl do, natively
    TlsCheck,
    /// Run the whole of the test "planted exploits": without each protection
    Exploits {
        /// Only the part that `cargo xtask test` runs
        #[arg(long)]
        ordinary: bool,
    },
    /// The part of a boot test that runs in a home's network, which leads nowhere
    #[command(hide = true)]
    InHomeNetwork(scenarios::home_network::InsideArguments),
    /// The part of the boot tests of mail that runs in a world of its own
    #[command(hide = true)]
    InMailWorld(scenarios::mail::InsideArguments),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Image(arguments) => image::run(&arguments),
        Command::Rules(arguments) => image::rules::run(&arguments),
        Command::CardCheck(arguments) => card_check::run(&arguments),
        Command::Boot(arguments) => boot::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::WifiCheck(arguments) => wifi_check::run(&arguments),
        Command::Pictures => pictures::take(),
        Command::Lint(arguments) => lint::run(&arguments),
        Command::Native { app } => image::native::make(&app).map(|folder| {
            println!("{}", folder.display());
        }),
        Command::Bench(which) => bench::run(&which),
        Command::Campaign(which) => campaign::run(&which),
        Command::Foreign => foreign::build().and_then(foreign::run),
        Command::TlsCheck => tls_check::run(),
        Command::Exploits { ordinary: false } => exploits::run(exploits::Extent::Whole),
        Command::Exploits { ordinary: true } => exploits::run(exploits::Extent::Ordinary),
        Command::InHomeNetwork(arguments) => scenarios::home_network::inside(&arguments),
        Command::InMailWorld(arguments) => scenarios::mail::inside(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
