//! The data of the demo, generated from a fixed seed: each first run creates the same data.

use fastrand::Rng;

use crate::values::{Email, Name, Seconds, Text, Timestamp, normalize::normalize};
use crate::workspace::contacts::Contact;
use crate::workspace::customers::Customer;
use crate::workspace::phone_calls::{Direction, PhoneCall, Status};

const SEED: u64 = 20_240_120;
const CUSTOMERS: usize = 200;
const CONTACTS: usize = 1_000;
const PHONE_CALLS: usize = 300;
/// Number of days before now that the calls are spread over.
const DAYS_OF_CALLS: i64 = 14;
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

/// Agents and their extensions.
const AGENTS: &[(&str, &str)] =
    &[("Ada Demo", "201"), ("Hugo Bernard", "202"), ("Inès Moreau", "203"), ("Paul Girard", "204")];
const QUEUES: &[&str] = &["Accueil", "Support", "Ventes"];
const OUR_NUMBER: &str = "+33 1 42 00 00 00";
/// Subjects of calls and their outcomes.
const SUBJECTS: &[(&str, &str)] = &[
    ("Demande de devis", "Envoyer un devis avant la fin de la semaine."),
    ("Question sur une facture", "Facture expliquée, rien à corriger."),
    ("Panne de ligne", "Ticket ouvert, un technicien rappelle."),
    ("Prise de rendez-vous", "Rendez-vous fixé, confirmation par e-mail."),
    ("Suivi de commande", "Commande expédiée, numéro de suivi donné."),
    ("Changement d'adresse", "Adresse mise à jour."),
    ("Réclamation", "Geste commercial accordé."),
    ("Renouvellement de contrat", "Contrat reconduit pour un an."),
];

/// What is noted about some contacts.
const COMMENTS: &[&str] = &[
    "Préfère être appelé le matin.",
    "Décideur pour les achats. Devis à envoyer par e-mail.",
    "Parle français et anglais.",
    "Absent le mercredi : voir avec l'assistante.",
    "Client depuis l'ouverture de l'agence.\nContrat à renouveler en fin d'année.",
];

/// The content of a new demo workspace. References use the ids that an empty workspace assigns.
#[derive(Debug, Clone, PartialEq)]
pub struct Data {
    pub customers: Vec<Customer>,
    /// Employees of the customers.
    pub contacts: Vec<Contact>,
    /// Calls with the contacts, oldest first.
    pub phone_calls: Vec<PhoneCall>,
}

pub fn generate(now: Timestamp) -> Data {
    let mut rng = Rng::with_seed(SEED);
    let customers: Vec<Customer> = (0..CUSTOMERS).map(|_| customer(&mut rng, now)).collect();
    let contacts: Vec<Contact> = (0..CONTACTS).map(|_| contact(&mut rng, &customers, now)).collect();
    let mut phone_calls: Vec<PhoneCall> = (0..PHONE_CALLS).map(|_| phone_call(&mut rng, &contacts, now)).collect();
    phone_calls.sort_by_key(|call| call.started_at);
    Data { customers, contacts, phone_calls }
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
        comment: text(pick(rng, COMMENTS)).filter(|_| rng.u8(0..3) == 0),
        role: text(pick(rng, ROLES)),
        service: text(pick(rng, SERVICES)),
        created_at: at,
        updated_at: at,
        ..Contact::default()
    }
}

fn phone_call(rng: &mut Rng, contacts: &[Contact], now: Timestamp) -> PhoneCall {
    let caller = rng.usize(0..contacts.len());
    let contact = &contacts[caller];
    let theirs = pick(rng, &[&contact.phone_business_1, &contact.phone_mobile_1]).clone();
    let inbound = rng.u8(0..10) < 7;
    let status = match (rng.u8(0..10), inbound) {
        (0..7, _) => Status::COMPLETED,
        (7, _) => Status::VOICEMAIL,
        (_, true) => Status::MISSED,
        (8, false) => Status::NO_ANSWER,
        (_, false) => Status::BUSY,
    };
    let talked = status == Status::COMPLETED;
    let seconds = if talked { rng.i64(20..900) } else { rng.i64(5..40) };
    let started = now.plus(-rng.i64(3_600..DAYS_OF_CALLS * DAY));
    // Calls come between 8:00 and 19:00 UTC.
    let hour = started.seconds().rem_euclid(DAY) / 3600;
    let started = if (8..19).contains(&hour) { started } else { started.plus(-11 * 3600) };
    let (agent, extension) = pick(rng, AGENTS);
    let (subject, summary) = pick(rng, SUBJECTS);
    PhoneCall {
        direction: if inbound { Direction::INBOUND } else { Direction::OUTBOUND },
        status,
        number_from: if inbound { theirs.clone() } else { text(OUR_NUMBER) },
        number_to: if inbound { text(OUR_NUMBER) } else { theirs },
        agent_extension: text(extension).filter(|_| talked || !inbound),
        agent_name: text(agent).filter(|_| talked || !inbound),
        queue: text(pick(rng, QUEUES)).filter(|_| inbound),
        contact_id: i64::try_from(caller + 1).ok(),
        customer_id: contact.customer_id,
        subject: text(subject).filter(|_| talked),
        summary: text(summary).filter(|_| talked),
        body: text(&format!("{subject}. {summary}")).filter(|_| talked && rng.u8(0..2) == 0),
        started_at: Some(started),
        ended_at: Some(started.plus(seconds)),
        duration_s: Seconds::new(seconds).ok(),
        created_at: started.plus(seconds),
        updated_at: started.plus(seconds),
        ..PhoneCall::default()
    }
}

/// A French number in one of three usual notations.
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

/// A word in the form used in addresses.
fn plain(word: &str) -> String {
    normalize(word).chars().filter(char::is_ascii_alphanumeric).collect()
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
        let made = generate(Timestamp::default());
        let Data { customers, contacts, phone_calls } = &made;
        assert_eq!((customers.len(), contacts.len(), phone_calls.len()), (200, 1_000, 300));
        assert_eq!(generate(Timestamp::default()), made);
        assert!(customers.iter().all(|customer| !customer.name.is_empty() && customer.email_address.is_some()));
        assert!(contacts.iter().all(|contact| !contact.last_name.is_empty() && contact.email.is_some()));
        let whole = |call: &PhoneCall| {
            let numbers = call.number_from.is_some() && call.number_to.is_some();
            let past = call.ended_at.is_some_and(|ended| ended < Timestamp::default());
            numbers && past && call.customer_id.is_some() && call.contact_id.is_some() && call.duration_s.is_some()
        };
        assert!(phone_calls.iter().all(whole));
        assert!(
            Status::WORDS
                .iter()
                .filter(|word| phone_calls.iter().any(|call| call.status.to_string() == **word))
                .count()
                >= 5
        );
    }
}
