//! A line: what an attack comes to while protections go one by one.

use crate::attacks::{Attack, ON_PURPOSE};
use crate::layers::Layer;
use crate::world::World;
use sandbox::weak::Protection;

/// What an attack comes to that nothing held.
pub const IN: &str = "in";

/// The protections that a line names, in its order.
pub fn layers_of(line: &str) -> Vec<Layer> {
    let parts = line.split("; without ").skip(1);
    let name = |part: &str| part.split(": ").next().unwrap_or_default().to_owned();
    parts.map(|part| Layer::named(&name(part))).collect()
}

/// What the attack comes to with all protections, and while these go one by one.
pub fn line(world: &World, attack: &Attack, layers: &[Layer]) -> String {
    let mut line = world.run(attack, &[]);
    if let Some(why) = on_purpose(world.name(), attack) {
        return format!("{line}; on purpose: {why}");
    }
    for count in 1..=layers.len() {
        let removed = &layers[..count];
        let outcome = world.run(attack, removed);
        line += &format!("; without {}: {outcome}", removed[count - 1]);
    }
    line
}

/// Why this is no attack in that sandbox.
pub fn on_purpose(sandbox: &str, attack: &Attack) -> Option<&'static str> {
    let mut all = ON_PURPOSE.iter();
    let found = all.find(|(name, what, _)| *name == sandbox && *what == attack.name);
    found.map(|(_, _, why)| *why)
}

/// The fewest protections without which the attack gets in: none of them can be
/// given back. Empty when it does not get in at all.
pub fn holding(world: &World, attack: &Attack) -> Vec<Layer> {
    // Who is the host's root already becomes nobody's: two beginnings.
    let capabilities = Layer::Sandbox(Protection::Capabilities);
    let some = |layer: &Layer| *layer != capabilities;
    let all = world.layers();
    let beginnings = [all.clone(), all.into_iter().filter(some).collect()];
    let begin = beginnings
        .into_iter()
        .find(|removed| world.run(attack, removed) == IN);
    let mut removed = begin.unwrap_or_default();
    loop {
        let before = removed.len();
        for layer in world.layers_to_give_back() {
            let without: Vec<Layer> = removed.iter().copied().filter(|l| *l != layer).collect();
            if without.len() < removed.len() && world.run(attack, &without) == IN {
                removed = without;
            }
        }
        if removed.len() == before {
            return removed;
        }
    }
}
