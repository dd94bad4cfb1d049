//! What the owner asked of the power: honoured when his phone has had time to get
//! the answer, not before.

use super::lock;
use crate::pid1::Power;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How long an answer may take from here through the console to the phone. The console
/// is the first that a shutdown ends.
const TO_THE_PHONE: Duration = Duration::from_secs(2);

/// The last wish that is not yet passed on.
#[derive(Default)]
pub struct Wish(Mutex<Option<(Power, Instant)>>);

impl Wish {
    /// Remembers it, as of `now`.
    pub fn note(&self, power: Power, now: Instant) {
        *lock(&self.0) = Some((power, now));
    }

    /// Takes it as soon as it has been answered, once.
    pub fn take_answered(&self, now: Instant) -> Option<Power> {
        let mut wish = lock(&self.0);
        let due = |&(_, noted): &(Power, Instant)| now >= noted + TO_THE_PHONE;
        wish.take_if(|wish| due(wish)).map(|(power, _)| power)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_passed_on_once_and_not_before_its_answer() {
        let (wish, now) = (Wish::default(), Instant::now());
        wish.note(Power::Off, now);
        assert_eq!(wish.take_answered(now), None);
        let almost = now + TO_THE_PHONE.checked_sub(Duration::from_millis(1)).unwrap();
        assert_eq!(wish.take_answered(almost), None);
        assert_eq!(wish.take_answered(now + TO_THE_PHONE), Some(Power::Off));
        assert_eq!(wish.take_answered(now + TO_THE_PHONE), None);
    }
}
