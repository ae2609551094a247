//! The demo's data: made from a fixed seed, so that every first run makes the same.

use fastrand::Rng;

use crate::values::{Email, Name, Text, Timestamp, fold::fold};
use crate::workspace::contacts::Contact;
use crate::workspace::customers::Customer;

const SEED: u64 = 20_240_120;
const CUSTOMERS: usize = 200;
const CONTACTS: usize = 1_000;
const DAY: i64 = 86_400;

const FIRST_NAMES: &[&str] = &[
    "Marie",
    "Jean",
    "Camille",
    "Léa",
    "Hugo",
    "Zoé",
    "Louis",
    "Inès",
    "Gabriel",
    "Chloé",
    "Arthur",
    "Manon",
    "Jules",
    "Sarah",
    "Théo",
    "Élise",
    "Nathan",
    "Alice",
    "Paul",
    "Anaïs",
    "Raphaël",
    "Julie",
    "Antoine",
    "Margaux",
    "Karim",
    "Nadia",
    "Mehdi",
    "Sofia",
    "Lukas",
    "Greta",
    "Emma",
    "Noah",
    "Björn",
    "Maïa",
    "Olivier",
    "Françoise",
];
const LAST_NAMES: &[&str] = &[
    "Martin",
    "Bernard",
    "Dubois",
    "Thomas",
    "Robert",
    "Petit",
    "Durand",
    "Leroy",
    "Moreau",
    "Simon",
    "Laurent",
    "Lefèvre",
    "Michel",
    "Garcia",
    "David",
    "Bertrand",
    "Roux",
    "Vincent",
    "Fournier",
    "Morel",
    "Girard",
    "André",
    "Mercier",
    "Dupont",
    "Lambert",
    "Bonnet",
    "François",
    "Martinez",
    "Legrand",
    "Garnier",
    "Faure",
    "Rousseau",
    "Blanc",
    "Guérin",
    "Müller",
    "Schäfer",
    "Janssens",
    "Peeters",
    "Benali",
    "Nguyen",
];
const TRADES: &[&str] = &[
    "Boulangerie",
    "Clinique",
    "Garage",
    "Cabinet",
    "Atelier",
    "Pharmacie",
    "Imprimerie",
    "Transports",
    "Menuiserie",
    "Hôtel",
    "Librairie",
    "Fromagerie",
    "Électricité",
    "Plomberie",
    "Agence",
    "Laboratoire",
    "Studio",
    "Brasserie",
];
const FORMS: &[&str] = &["SARL", "SAS", "SA", "EURL", "SCOP"];
const SERVICES: &[&str] = &["Achats", "Comptabilité", "Direction", "Support", "Ventes", "Logistique", "Accueil"];
const ROLES: &[&str] = &["Responsable", "Assistant", "Directeur", "Technicien", "Chargé de clientèle"];
const STREETS: &[&str] =
    &["rue de la Paix", "avenue Jean-Jaurès", "place du Marché", "rue des Lilas", "quai de la Gare", "rue Victor-Hugo"];
const CITIES: &[(&str, &str, &str)] = &[
    ("75011", "Paris", "1"),
    ("69003", "Lyon", "4"),
    ("13006", "Marseille", "4"),
    ("31000", "Toulouse", "5"),
    ("44000", "Nantes", "2"),
    ("67000", "Strasbourg", "3"),
    ("33000", "Bordeaux", "5"),
    ("59000", "Lille", "3"),
    ("35000", "Rennes", "2"),
    ("06000", "Nice", "4"),
    ("38000", "Grenoble", "4"),
    ("29200", "Brest", "2"),
];

/// Customers, and contacts of theirs; the customers' ids are those that an empty workspace gives them.
pub fn make(now: Timestamp) -> (Vec<Customer>, Vec<Contact>) {
    let mut rng = Rng::with_seed(SEED);
    let customers: Vec<Customer> = (0..CUSTOMERS).map(|_| customer(&mut rng, now)).collect();
    let contacts = (0..CONTACTS).map(|_| contact(&mut rng, &customers, now)).collect();
    (customers, contacts)
}

fn customer(rng: &mut Rng, now: Timestamp) -> Customer {
    let owner = pick(rng, LAST_NAMES);
    let trade = pick(rng, TRADES);
    let (postal_code, city, zone) = pick(rng, CITIES);
    let host = format!("{}-{}.example", plain(trade), plain(owner));
    let at = now.plus(-DAY * rng.i64(30..900) - rng.i64(0..DAY));
    Customer {
        name: Name::parse(format!("{trade} {owner}")).unwrap_or_default(),
        kind: text(pick(rng, FORMS)),
        registration_number: text(&format!("{:09}", rng.u32(300_000_000..900_000_000))),
        activity_code: text(&format!("{:02}.{:02}{}", rng.u8(10..96), rng.u8(10..99), rng.char('A'..='Z'))),
        email_address: email(&format!("contact@{host}")),
        phone: text(&landline(rng, zone)),
        website: text(&format!("https://{host}")),
        main_contact_first_name: text(pick(rng, FIRST_NAMES)),
        main_contact_last_name: text(owner),
        main_address_line1: text(&format!("{} {}", rng.u8(1..120), pick(rng, STREETS))),
        main_address_postal_code: text(postal_code),
        main_address_city: text(city),
        main_address_country: text("France"),
        active: rng.u8(0..10) > 0,
        vip: rng.u8(0..12) == 0,
        created_at: at,
        updated_at: at,
        ..Customer::default()
    }
}

fn contact(rng: &mut Rng, customers: &[Customer], now: Timestamp) -> Contact {
    let employer = rng.usize(0..customers.len());
    let customer = &customers[employer];
    let (first, last) = (pick(rng, FIRST_NAMES), pick(rng, LAST_NAMES));
    let (_, _, zone) = pick(rng, CITIES);
    let host = customer.website.as_deref().unwrap_or_default().trim_start_matches("https://").to_owned();
    let at = now.plus(-DAY * rng.i64(0..30) - rng.i64(0..DAY));
    Contact {
        customer_id: i64::try_from(employer + 1).ok(),
        civility: text(pick(rng, &["Mme", "M."])),
        first_name: text(first),
        last_name: Name::parse(last.to_owned()).unwrap_or_default(),
        email: email(&format!("{}.{}@{host}", plain(first), plain(last))),
        company: Text::parse(customer.name.to_string()).ok(),
        phone_business_1: text(&landline(rng, zone)),
        phone_mobile_1: text(&format!("+33 6 {}", pairs(rng))),
        role: text(pick(rng, ROLES)),
        service: text(pick(rng, SERVICES)),
        created_at: at,
        updated_at: at,
        ..Contact::default()
    }
}

/// A French number as people type it: in one of three ways.
fn landline(rng: &mut Rng, zone: &str) -> String {
    let pairs = pairs(rng);
    match rng.u8(0..3) {
        0 => format!("+33 {zone} {pairs}"),
        1 => format!("0{zone} {pairs}"),
        _ => format!("0{zone}{}", pairs.replace(' ', "")),
    }
}

fn pairs(rng: &mut Rng) -> String {
    let pairs: Vec<String> = (0..4).map(|_| format!("{:02}", rng.u8(0..100))).collect();
    pairs.join(" ")
}

fn pick<T: Copy>(rng: &mut Rng, from: &[T]) -> T {
    from[rng.usize(0..from.len())]
}

/// A word as it may stand in an address.
fn plain(word: &str) -> String {
    fold(word).chars().filter(char::is_ascii_alphanumeric).collect()
}

fn text<const MAX: usize>(words: &str) -> Option<Text<MAX>> {
    Text::parse(words.to_owned()).ok()
}

fn email(address: &str) -> Option<Email> {
    address.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_run_makes_the_same_and_all_of_it_is_good() {
        let (customers, contacts) = make(Timestamp::default());
        assert_eq!((customers.len(), contacts.len()), (200, 1_000));
        assert_eq!(make(Timestamp::default()), (customers.clone(), contacts.clone()));
        assert!(customers.iter().all(|customer| !customer.name.is_empty() && customer.email_address.is_some()));
        assert!(contacts.iter().all(|contact| !contact.last_name.is_empty() && contact.email.is_some()));
    }
}
