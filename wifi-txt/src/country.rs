//! The country for the radio rules: two letters of ISO 3166-1, if the kernel's table
//! (`regulatory.db` of wireless-regdb) has rules for them.
//!
//! A code without rules would leave the radio with those of the whole world, silently.

use std::fmt;

/// Two capital letters for which there are radio rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Country([u8; 2]);

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", char::from(self.0[0]), char::from(self.0[1]))
    }
}

/// All countries of wireless-regdb 2026.05.30 but `00`, the whole world.
const KNOWN: &str = "AD AE AF AI AL AM AN AR AS AT AU AW AZ BA BB BD BE BF BG BH BL BM BN BO BR BS \
    BT BW BY BZ CA CF CH CI CL CN CO CR CU CX CY CZ DE DK DM DO DZ EC EE EG ES ET FI FM FO FR GB \
    GD GE GF GH GI GL GP GR GT GU GY HK HN HR HT HU ID IE IL IM IN IR IS IT JM JO JP KE KH KN KP \
    KR KW KY KZ LB LC LI LK LS LT LU LV MA MC MD ME MF MH MK MN MO MP MQ MR MT MU MV MW MX MY NA \
    NG NI NL NO NP NZ OM PA PE PF PG PH PK PL PM PR PT PW PY QA RE RO RS RU RW SA SE SG SI SK SM \
    SN SR SV SX SY TC TD TG TH TN TR TT TW TZ UA UG US UY UZ VA VC VE VI VN VU WF WS YE YT ZA ZW";

/// What people write instead, in small letters, and the code for it.
const SPOKEN: &[(&str, &str)] = &[
    ("uk", "GB"),
    ("gbr", "GB"),
    ("england", "GB"),
    ("scotland", "GB"),
    ("wales", "GB"),
    ("britain", "GB"),
    ("great britain", "GB"),
    ("united kingdom", "GB"),
    ("usa", "US"),
    ("united states", "US"),
    ("america", "US"),
    ("deu", "DE"),
    ("ger", "DE"),
    ("germany", "DE"),
    ("deutschland", "DE"),
    ("austria", "AT"),
    ("österreich", "AT"),
    ("switzerland", "CH"),
    ("schweiz", "CH"),
    ("suisse", "CH"),
    ("france", "FR"),
    ("italy", "IT"),
    ("italia", "IT"),
    ("spain", "ES"),
    ("españa", "ES"),
    ("portugal", "PT"),
    ("netherlands", "NL"),
    ("nederland", "NL"),
    ("belgium", "BE"),
    ("poland", "PL"),
    ("polska", "PL"),
    ("sweden", "SE"),
    ("norway", "NO"),
    ("denmark", "DK"),
    ("finland", "FI"),
    ("ireland", "IE"),
    ("greece", "GR"),
    ("el", "GR"),
    ("czechia", "CZ"),
    ("canada", "CA"),
    ("australia", "AU"),
    ("new zealand", "NZ"),
    ("japan", "JP"),
    ("india", "IN"),
    ("brazil", "BR"),
    ("brasil", "BR"),
    ("mexico", "MX"),
    ("türkiye", "TR"),
    ("turkey", "TR"),
    ("ukraine", "UA"),
];

impl Country {
    /// Reads the two letters, in capitals or not.
    ///
    /// # Errors
    /// Words for the owner, when there are no radio rules for it.
    pub fn read(text: &str) -> Result<Self, String> {
        let capitals = text.to_uppercase();
        if let [a, b] = *capitals.as_bytes()
            && KNOWN.split(' ').any(|known| known == capitals)
        {
            return Ok(Self([a, b]));
        }
        let spoken = text.to_lowercase();
        if let Some((_, code)) = SPOKEN.iter().find(|(words, _)| *words == spoken) {
            return Err(format!(
                "the country must be the two letters of ISO 3166-1; write: country = {code}"
            ));
        }
        if capitals.len() == 2 && capitals.bytes().all(|b| b.is_ascii_uppercase()) {
            return Err(
                "there are no radio rules for this country; look for its two letters in ISO \
                 3166-1, for example: country = DE"
                    .to_owned(),
            );
        }
        Err("the country must be two letters, for example: country = DE".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_has_each_country_once() {
        let all: Vec<_> = KNOWN.split(' ').collect();
        assert_eq!(all.len(), 181);
        assert!(all.is_sorted_by(|a, b| a < b));
        assert!(all.iter().all(|code| code.len() == 2));
    }

    #[test]
    fn what_people_say_leads_to_a_code_that_has_rules() {
        for (words, code) in SPOKEN {
            assert!(Country::read(code).is_ok(), "{code}");
            let words = Country::read(words).unwrap_err();
            assert!(words.ends_with(&format!("country = {code}")), "{words}");
        }
        assert_eq!(Country::read("de").unwrap().to_string(), "DE");
        for none in ["XX", "EU", "00", "", "D", "DEE", "ß", "ﬀ"] {
            assert!(Country::read(none).is_err(), "{none}");
        }
    }
}
